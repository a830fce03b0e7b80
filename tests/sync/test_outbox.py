"""What waits keeps its order and its waiting, whatever happens; when it is tried again is a function of what was noted."""
from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.errors import SyncError
from edge_sleep.remote.protocol import Full, Unreachable
from edge_sleep.sync import backoff, ledger, outbox
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home

IDS = st.sampled_from([f"{number:016x}" for number in range(6)])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["queue", "queue", "queue", "done", "drop", "sent", "sweep"]), IDS), max_size=25))
def test_what_waits_is_in_the_order_it_was_queued(tmp_path_factory, steps) -> None:
    root = tmp_path_factory.mktemp("outbox")
    home, clock = Home(root), ManualClock()
    expected: list[str] = []
    sent: set[str] = set()
    for what, identity in steps:
        if what == "queue":
            assert outbox.queue(home, clock, "adapter", identity) is (identity not in expected and identity not in sent)
            if identity not in expected and identity not in sent:
                expected.append(identity)
        elif what == "drop":
            assert outbox.drop(home, [identity]) == [one for one in expected if one == identity]
            expected = [one for one in expected if one != identity]
        elif what == "sent" and identity in expected:          # published, and cut before the entry went
            blob = outbox.Blob("blobs/" + "a" * 64, 1)
            ledger.write(home, ledger.read(home).with_parcel(ledger.Published(blob, (), "adapter", identity)))
            sent.add(identity)
        elif what == "done" and expected:
            outbox.done(home, outbox.waiting(home)[0])
            expected.pop(0)
        elif what == "sweep":
            outbox.sweep(home)
        assert [entry.id for entry in outbox.waiting(home)] == expected
    shutil.rmtree(root)


@settings(max_examples=50)
@given(st.integers(1, 10_000), st.one_of(st.none(), st.floats(0, 10**6)), st.text(max_size=8))
def test_how_long_is_waited(attempts: int, asked: float | None, who: str) -> None:
    waits = backoff.wait_seconds(attempts, asked, who)
    assert waits >= (asked or 0) and waits >= min(backoff.FIRST_SECONDS * 2.0 ** (min(attempts, 40) - 1), backoff.LONGEST_SECONDS)
    assert waits <= max(backoff.LONGEST_SECONDS, asked or 0)
    assert waits == backoff.wait_seconds(attempts, asked, who)
    assert backoff.wait_seconds(attempts + 1, None, who) >= min(backoff.wait_seconds(attempts, None, who), backoff.LONGEST_SECONDS)


def test_machines_spread(tmp_path: Path) -> None:
    assert len({backoff.wait_seconds(3, None, f"machine {number}") for number in range(20)}) == 20


@pytest.mark.parametrize("asked", [None, 900.0])
def test_a_wait_outlasts_a_restart_and_every_clock(tmp_path: Path, asked: float | None) -> None:
    class Rebooted(ManualClock):
        def boot(self) -> str:
            return "another"

        def since_boot(self) -> float:
            return 5.0

    clock, file = ManualClock(), tmp_path / "backoff.json"
    for attempts in range(1, 4):
        noted = backoff.note(file, Unreachable("no network", "wait", asked), clock, "me")
        assert noted.attempts == attempts and backoff.read(file) == noted
    waits = noted.wait_seconds
    assert waits >= (asked or 240)
    clock.advance(waits / 2)
    found = backoff.read(file)
    assert found.left_seconds(clock) == pytest.approx(waits / 2)
    moved = ManualClock(clock.wall + timedelta(days=400), clock.seconds)
    assert found.left_seconds(moved) == pytest.approx(waits / 2)              # a clock that leaps moves nothing within a boot
    assert found.left_seconds(Rebooted(clock.wall, clock.seconds)) == pytest.approx(waits / 2)
    assert found.left_seconds(Rebooted(clock.wall - timedelta(days=400))) == 0.0      # one that began anew is not waited for
    clock.advance(waits)
    assert found.left_seconds(clock) == 0.0
    backoff.clear(file)
    assert backoff.read(file) is None


def test_a_week_without_a_network(two) -> None:
    """Each night's adapter waits; tries become rare; when the network is back all arrive, in order, and nothing was lost."""
    away = two.remote.rename(two.remote.with_name("away"))
    made: list[str] = []
    tries = 0
    for minute in range(0, 7 * 24 * 60, 10):
        if minute % (24 * 60) == 0:
            made.append(two.orin.night(minute))
            outbox.queue_current(two.orin.home, two.clock)
        failed = backoff.read(outbox.backoff_file(two.orin.home))
        if failed is None or failed.left_seconds(two.clock) == 0:
            tries += 1
            with pytest.raises(SyncError, match="is not there") as caught:
                two.orin.push()
            assert caught.value.exit_code == 40
        two.clock.advance(600)
    assert 20 <= tries <= 45                                   # seven days of six hours, and the first hours
    assert [entry.id for entry in outbox.waiting(two.orin.home) if entry.kind == "adapter"] == made
    away.rename(two.remote)
    pushed = two.orin.push()
    assert [item["id"] for item in pushed.sent if item["kind"] == "adapter"] == made
    assert backoff.read(outbox.backoff_file(two.orin.home)) is None
    assert [item["id"] for item in two.thor.pull().fetched] == made


def test_a_full_remote_keeps_what_was_sealed(two, monkeypatch) -> None:
    """What was sealed before the remote was full is what is sent after: nothing lies there twice."""
    two.orin.night(1)
    remote = two.orin.open()
    real, calls = remote.put, []

    def put(name, source, note):
        calls.append(name)
        if len(calls) == 2:
            raise Full("no space left there", "make room")
        return real(name, source, note)

    monkeypatch.setattr(remote, "put", put)
    with pytest.raises(Full):
        two.orin.push(remote)
    waits = [entry for entry in outbox.waiting(two.orin.home) if entry.sealed]
    assert len(waits) == 1 and outbox.whole(two.orin.home, waits[0])
    two.orin.push(remote)
    assert set(calls) == {f"blobs/{file.name}" for file in (two.remote / "blobs").iterdir()}


def test_an_adapter_that_waits_is_not_pruned(two) -> None:
    from edge_sleep.checkpoint import prune, store
    from edge_sleep.config import Retention
    identity = two.orin.night(1)
    outbox.queue_current(two.orin.home, two.clock)
    store.rollback(two.orin.home, "base", two.clock)
    none = Retention(daily=0, weekly=0, monthly=0)
    kept = {item.name: item for item in prune.survey(two.orin.home, none)}
    assert kept[identity].kept and "waits to be sent" in kept[identity].reason
    two.orin.push()
    assert not {item.name: item for item in prune.survey(two.orin.home, none)}[identity].kept
