"""Adapters travel from home to home, whole, once, and become current by nobody's hand but the owner's."""
from __future__ import annotations

import shutil

from edge_sleep.checkpoint import lineage, manifest, store
from edge_sleep.sync import ledger, outbox, received
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home
from tests.sync.homes import WORDS, files, machine, pair


def test_what_three_nights_made_is_there_on_the_other_machine(two) -> None:
    nights = [two.orin.night(seed) for seed in range(3)]
    sent = two.orin.push()
    assert [item["id"] for item in sent.sent if item["kind"] == "adapter"] == nights
    assert outbox.waiting(two.orin.home) == [] and files(two.orin.home.outbox / "sealed") == {}
    pulled = two.thor.pull()
    assert [item["id"] for item in pulled.fetched] == nights and not pulled.left and not pulled.refused
    for identity in nights:
        assert manifest.problems(two.thor.home.adapter(identity)) == []
        assert files(two.thor.home.adapter(identity)) == files(two.orin.home.adapter(identity))
    assert lineage.ids(two.thor.home, nights[-1]) == nights[::-1]
    assert store.current(two.thor.home) is None                # nothing became current
    assert pulled.machines[0]["latest"] == nights[-1]
    assert received.origin(two.thor.home, nights[0])["name"] == "orin"
    told = received.origin(two.thor.home, nights[0])["record"]
    assert told["train"]["loss_last"] == 1.5 and told["gate"]["metrics"]["recall"]["after"] == 0.9
    before = files(two.remote)
    assert two.orin.push().sent == [] and two.thor.pull().fetched == []
    assert files(two.remote) == before                         # neither says anything twice


def test_a_rollback_is_told_too(two) -> None:
    first, _ = two.orin.night(1), two.orin.night(2)
    two.orin.push()
    two.thor.pull()
    store.rollback(two.orin.home, None, two.clock)
    assert [item["kind"] for item in two.orin.push().sent] == ["marks"]
    assert two.thor.pull().machines[0]["latest"] == first


def test_three_adapters_called_cycle_001(tiny_base, tmp_path) -> None:
    """Three machines each made a first adapter; upstream called all of them cycle_001, and nobody knew afterwards which one ran where.

    An adapter's id is the hash of what it holds, so these are three, and the one that two machines make alike is one.
    """
    machines = [machine(tmp_path / name, tiny_base, tmp_path / "remote", name) for name in ("thor", "sprout", "thor-again")]
    pair(*machines)
    made = [one.night(seed) for one, seed in zip(machines, (1, 2, 3), strict=True)]
    for one in machines:
        one.push()
    same = [one.night(9, parent=None) for one in machines[:2]]
    assert len(set(made)) == 3 and len(set(same)) == 1
    for one in machines:
        one.push()
    for one in machines:
        one.pull()
        assert {folder.name for folder in one.home.adapters.iterdir()} >= {*made, same[0]}
        for name, identity in zip(("thor", "sprout", "thor-again"), made, strict=True):
            origin = received.origin(one.home, identity)
            assert (origin["name"] if origin else one.keys.own.name) == name
            assert read_json(one.home.adapter(identity) / manifest.NAME, "manifest")["id"] == identity


def test_no_word_and_no_secret_leaves_even_opened(two) -> None:
    for seed in range(2):
        two.orin.night(seed)
    two.orin.push()
    two.thor.pull()
    secrets = [file.read_text() for file in two.orin.home.keys.iterdir() if file.name == "identity.json"]
    hidden = [pair["sign"] for pair in __import__("json").loads(secrets[0])["keys"]] + \
             [pair["box"] for pair in __import__("json").loads(secrets[0])["keys"]]
    everything = {**files(two.remote), **{f"opened/{name}": content for name, content in files(two.thor.home.received).items()}}
    assert len(everything) > 8 and any(name.startswith("opened/sheets") for name in everything)
    for name, content in everything.items():
        for word in (*WORDS, *(part for words in WORDS for part in words.split() if len(part) > 4), *hidden, "not to be told"):
            assert word.encode() not in content, f"{name} holds {word!r}"
    for name, content in files(two.remote).items():         # whoever has the folder learns no id, no name, no path
        for known in (*[folder.name for folder in two.orin.home.adapters.iterdir()], "somebody", "orin", two.orin.base.sha256):
            assert known.encode() not in content, f"{name} holds {known!r}"


def test_another_base_is_named_and_left(two, tmp_path) -> None:
    from tests.sync.homes import make_base
    other = machine(tmp_path / "other", make_base(tmp_path / "another", seed=5), two.remote)
    pair(two.orin, other)
    identity = two.orin.night(1)
    two.orin.push()
    pulled = other.pull()
    assert pulled.fetched == [] and pulled.refused == []
    assert [item["id"] for item in pulled.left] == [identity] and "another base" in pulled.left[0]["why"]
    assert list(other.home.adapters.iterdir()) == []


def test_an_unknown_machine_is_named_and_not_read(two, tiny_base, tmp_path) -> None:
    stranger = machine(tmp_path / "stranger", tiny_base, two.remote)
    stranger.night(7)
    stranger.push()
    pulled = two.thor.pull()
    assert pulled.fetched == [] and [item["machine"] for item in pulled.left] == [stranger.keys.own.id]
    assert "unknown machine" in pulled.left[0]["why"] and list(two.thor.home.adapters.iterdir()) == []


def test_who_is_paired_later_is_served_by_again(two, tiny_base, tmp_path) -> None:
    identity = two.orin.night(1)
    two.orin.push()
    late = machine(tmp_path / "late", tiny_base, two.remote, "late", two.clock)
    pair(late, two.orin)
    assert all("not sealed for this machine" in item["why"] for item in late.pull().refused)
    outbox.queue_current(two.orin.home, two.clock, again=True)
    two.orin.push()
    assert [item["id"] for item in late.pull().fetched] == [identity]
    assert two.thor.pull().fetched                             # and for the others it is still there
    assert len(ledger.read(two.orin.home).left_over) == 4      # the sealed files before: for a prune


def test_what_was_let_go_does_not_come_back_by_itself(two) -> None:
    identity = two.orin.night(1)
    two.orin.push()
    two.thor.pull()
    shutil.rmtree(two.thor.home.adapter(identity))
    pulled = two.thor.pull()
    assert pulled.fetched == [] and "was let go" in pulled.left[0]["why"]
    assert [item["id"] for item in two.thor.pull(asked=[identity]).fetched] == [identity]


def test_an_emptied_remote_is_filled_again(two) -> None:
    made = [two.orin.night(seed) for seed in range(2)]
    two.orin.push()
    shutil.rmtree(two.remote)
    two.remote.mkdir()
    again = two.orin.push()
    assert [item["id"] for item in again.sent if item["kind"] == "adapter"] == made and "sent again" in again.notes[1]
    assert [item["id"] for item in two.thor.pull().fetched] == made


def test_a_restored_backup_goes_on_from_the_list_on_the_remote(two, tmp_path) -> None:
    two.orin.night(1)
    two.orin.push()
    shutil.copytree(two.orin.home.root, tmp_path / "backup")
    second = two.orin.night(2)
    two.orin.push()
    serial = ledger.read(two.orin.home).serial
    shutil.rmtree(two.orin.home.root)
    shutil.copytree(tmp_path / "backup", two.orin.home.root)
    third = two.orin.night(3)
    pushed = two.orin.push()
    assert "a backup was restored" in pushed.notes[0] and pushed.serial > serial
    pulled = two.thor.pull()
    assert {second, third} <= {item["id"] for item in pulled.fetched} and not pulled.refused


def test_keys_that_rotate_change_nothing(two) -> None:
    made = [two.orin.night(1)]
    two.orin.push()
    two.orin.keys.rotate()
    made.append(two.orin.night(2))
    two.orin.push()
    two.thor.keys.rotate()
    assert [item["id"] for item in two.thor.pull().fetched] == made


def test_a_home_without_adapters_sends_nothing(two) -> None:
    assert two.orin.push().sent == [] and files(two.remote) == {}
    assert isinstance(two.orin.home, Home)
