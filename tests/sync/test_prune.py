"""Nothing goes from a remote but by a person's word, and never what somebody builds on."""
from __future__ import annotations

import shutil

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.errors import UsageError
from edge_sleep.sync import ledger, outbox
from edge_sleep.sync.prune import Others, decide, prune
from edge_sleep.sync.sheet import Blob
from tests.sync.homes import Machine, files


def published(identity: str | None, kind: str | None = "adapter") -> ledger.Published:
    return ledger.Published(Blob(f"blobs/{identity or 'none'}", 1), (), kind, identity)


A, B, C, MARKS, STRANGE = published("a"), published("b"), published("c"), published("m", "marks"), published(None, None)
PARENTS = {"a": None, "b": "a", "c": "b"}
NOBODY = Others({}, frozenset())


@pytest.mark.parametrize("here, others, withdrawn, goes", [
    ("abc", NOBODY, "", ""),
    ("", NOBODY, "", "abc"),
    ("c", NOBODY, "", ""),                                     # what a kept one grew from stays
    ("b", NOBODY, "", "c"),
    ("", Others({"a": "b' of thor grew from it"}, frozenset()), "", "bc"),
    ("", Others({"b": "thor has it as latest"}, frozenset()), "", "c"),
    ("", Others({"c": "x"}, frozenset("c")), "", "abc"),       # somebody else publishes it as well: not the last
    ("", Others({}, frozenset(), "thor's list cannot be believed"), "", ""),
    ("abc", NOBODY, "b", "bc"),                                # withdrawn with what grew from it
    ("abc", NOBODY, "c", "c"),
])
def test_what_goes(here: str, others: Others, withdrawn: str, goes: str) -> None:
    items = decide([A, B, C, MARKS, STRANGE], set(here), PARENTS, others, set(withdrawn))
    assert "".join(str(item.parcel.id) for item in items if not item.kept) == goes
    assert all(item.reason for item in items) and len(items) == 5


@pytest.mark.parametrize("others", [Others({"c": "thor has it as latest"}, frozenset()), Others({}, frozenset(), "not known")])
def test_what_others_build_on_cannot_be_withdrawn(others: Others) -> None:
    with pytest.raises(UsageError, match="cannot be withdrawn"):
        decide([A, B, C], {"a", "b", "c"}, PARENTS, others, {"a"})


def run(one: Machine, **more) -> dict:
    return prune(one.home, one.open(), one.keys, one.clock, **more)


def test_first_it_says_then_it_does(two) -> None:
    first, second, third = two.orin.night(1), two.orin.night(2), two.orin.night(3, parent=None)
    two.orin.push()
    outbox.queue(two.orin.home, two.clock, "adapter", second)
    outbox.queue(two.orin.home, two.clock, "adapter", first)
    two.orin.push()
    two.thor.pull()
    before = files(two.remote)
    for identity in (first, second):
        shutil.rmtree(two.orin.home.adapter(identity))
    told = run(two.orin)
    assert {item["id"] for item in told["items"] if not item["kept"]} == {first, second} and files(two.remote) == before
    done = run(two.orin, carry_out=True)
    assert done["removed_bytes"] == told["removed_bytes"] > 0
    left = ledger.read(two.orin.home)
    named = {blob.name for parcel in left.parcels for blob in parcel.blobs}
    assert {f"blobs/{name.removeprefix('blobs/')}" for name in files(two.remote) if name.startswith("blobs/")} == named
    assert left.left_over == () and {parcel.id for parcel in left.parcels if parcel.kind == "adapter"} == {third}
    assert two.thor.pull().refused == [] and run(two.orin, carry_out=True)["removed_bytes"] == 0


def grown_from(two) -> str:
    """An adapter of orin's that thor has pulled, grown another from, and published that; orin knows."""
    first = two.orin.night(1)
    two.orin.push()
    two.thor.pull()
    two.thor.night(2, parent=first)
    two.thor.push()
    two.orin.pull()
    return first


def test_what_another_machine_grew_something_from_stays(two) -> None:
    first = grown_from(two)
    shutil.rmtree(two.orin.home.adapter(first))
    told = {item["id"]: item for item in run(two.orin)["items"]}
    assert told[first]["kept"] and "of thor grew from it" in told[first]["reason"]
    with pytest.raises(UsageError, match="cannot be withdrawn"):
        run(two.orin, withdrawn=[first])


def test_a_list_that_nobody_can_believe_keeps_everything(two) -> None:
    first = two.orin.night(1)
    for one in (two.orin, two.thor):
        one.push()
    two.thor.night(5)
    two.thor.push()
    file = two.remote / ledger.place(two.thor.keys.own.id)
    file.write_bytes(file.read_bytes()[:-9])
    shutil.rmtree(two.orin.home.adapter(first))
    assert all(item["kept"] for item in run(two.orin, carry_out=True)["items"])


def test_a_list_that_was_taken_away_keeps_everything(two) -> None:
    first = grown_from(two)
    (two.remote / ledger.place(two.thor.keys.own.id)).unlink()
    shutil.rmtree(two.orin.home.adapter(first))
    assert all(item["kept"] for item in run(two.orin, carry_out=True)["items"])


def test_a_prune_that_was_cut_is_ended_by_the_next(two, monkeypatch) -> None:
    first = two.orin.night(1)
    two.orin.push()
    remote, left = two.orin.open(), [2]

    def delete(name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        (two.remote / name).unlink()

    monkeypatch.setattr(remote, "delete", delete)
    with pytest.raises(KeyboardInterrupt):
        prune(two.orin.home, remote, two.orin.keys, two.clock, [first], True)
    assert run(two.orin, carry_out=True)["left_over"] == 1
    assert len(files(two.remote / "blobs")) == 1               # the marks


def test_a_parcel_that_nobody_looked_at_keeps_everything(two) -> None:
    first = two.orin.night(1)
    two.orin.push()
    two.thor.night(5, parent=None)
    two.thor.push()
    shutil.rmtree(two.orin.home.adapter(first))
    told = run(two.orin, carry_out=True)["items"]
    assert all(item["kept"] for item in told) and any("were looked at" in item["reason"] for item in told)
    two.orin.pull()
    assert {item["id"] for item in run(two.orin)["items"] if not item["kept"]} == {first}


def test_what_another_made_for_itself_holds_nothing_of_ours(two) -> None:
    first = two.orin.night(1)
    two.orin.push()
    two.thor.night(5, parent=None)
    store.rollback(two.thor.home, store.BASE, two.thor.clock)           # its marks then name no adapter as latest
    two.thor.push()
    two.orin.pull()
    shutil.rmtree(two.orin.home.adapter(first))
    assert {item["id"] for item in run(two.orin)["items"] if not item["kept"]} == {first}


def test_what_was_never_published_cannot_be_withdrawn(two) -> None:
    two.orin.night(1)
    two.orin.push()
    with pytest.raises(UsageError, match="0123456789abcdef is not among what this machine published"):
        run(two.orin, withdrawn=["0123456789abcdef"])
