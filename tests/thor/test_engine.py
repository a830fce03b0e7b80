"""A worker and its engine: whose jobs are begun, what becomes of each end, and what is shown of it; with an engine that only waits."""
from __future__ import annotations

import signal
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_sleep.errors import Busy, DeviceError, DoesNotFit, EdgeSleepError, ModelError, RemoteRefused, StorageError, SyncError
from edge_sleep.thor import carried, ledger
from edge_sleep.thor.engine import End
from edge_sleep.thor.held import Held
from edge_sleep.thor.metrics import Metrics
from edge_sleep.thor.training import Ended
from tests.thor.fleet import Fleet


class Slots:
    """An engine with room for so many jobs; each ends when the test says how."""

    name, alone = "slots", False

    def __init__(self, room: int):
        self.most, self.order, self.stopped = room, [], False
        self.running: list[Held] = []
        self.over: list[tuple[Held, End]] = []

    def busy(self) -> str | None:
        return None

    def room(self) -> bool:
        return len(self.running) < self.most

    def begin(self, held: Held) -> None:
        self.order.append(held.offer.home.name)
        self.running.append(held)

    def end(self, end: End) -> None:
        self.over.append((self.running.pop(0), end))

    def ended(self) -> list[tuple[Held, End]]:
        over, self.over = self.over, []
        return over

    def nodes(self) -> list[Any]:
        return [self]

    def holds(self) -> list[Held]:
        return list(self.running)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough of one to have a fingerprint."""
    folder = tmp_path_factory.mktemp("engine") / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def fleet(tmp_path: Path, model: Path) -> Fleet:
    return Fleet(tmp_path, model)


def test_one_with_many_jobs_does_not_starve_one_with_one(fleet: Fleet) -> None:
    soon, late = (datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (1, 9))
    fleet.send("many", 5, soon)
    fleet.send("single", 1, late)
    slots = Slots(1)
    worker, box = fleet.worker(engine=slots), fleet.box("thor")
    for _ in range(6):
        worker.look(box)
        slots.end(Ended("heat", 600.0))
    worker.look(box)
    assert slots.order == ["many", "single", *["many"] * 4]


def test_jobs_at_work_are_of_as_many_companions_as_there_is_room_for(fleet: Fleet) -> None:
    fleet.send("many", 4)
    fleet.send("one")
    fleet.send("two")
    slots = Slots(3)
    worker, box = fleet.worker(engine=slots), fleet.box("thor")
    worker.look(box)
    assert sorted(slots.order) == ["many", "one", "two"]
    assert [turn.round for turn in worker.waiting] == [1, 2, 3]
    states = {one["job"]: one["state"] for one in fleet.records().values()}
    assert sorted(states.values()) == [ledger.WORKING] * 3
    worker._let_go(slots)
    assert {one["state"] for one in fleet.records().values()} == {ledger.GIVEN_BACK}


def test_no_more_are_held_than_are_to_be_done(fleet: Fleet) -> None:
    fleet.send("home", 3)
    slots = Slots(3)
    worker = fleet.worker(engine=slots)
    worker.look(fleet.box("thor"), most=2)
    assert len(slots.order) == 2
    worker._let_go(slots)


@pytest.mark.parametrize("end, state, again", [
    (Ended("heat", 600.0), ledger.GIVEN_BACK, False), (Ended("signal 15"), ledger.GIVEN_BACK, False),
    (Busy("no node can"), ledger.GIVEN_BACK, False), (SyncError("away"), ledger.GIVEN_BACK, False),
    (StorageError("full"), ledger.GIVEN_BACK, True), (EdgeSleepError("a bug on a node"), ledger.GIVEN_BACK, True),
    (DoesNotFit("larger than any node"), ledger.DECLINED, False), (RemoteRefused("base not here"), ledger.DECLINED, False),
    (ModelError("no"), ledger.DECLINED, False)])
def test_what_becomes_of_each_end(fleet: Fleet, end: End, state: str, again: bool) -> None:
    fleet.send("home")
    slots = Slots(1)
    worker, box = fleet.worker(engine=slots), fleet.box("thor")
    worker.look(box)
    slots.end(end)
    worker.look(box)
    [record] = fleet.records().values()
    assert record["state"] == state and record["tries"] == (1 if again or state == ledger.DECLINED else 0)
    assert record["reason"] == (end.stopped if isinstance(end, Ended) else end.message) and record["ended"]
    assert (f"refused-{fleet.keys['thor'].own.id}.json" in fleet.names(fleet.sent["home"][0])) == (state == ledger.DECLINED)
    assert len(slots.order) == 1                           # what was given back is not taken again at once


def test_a_signal_gives_back_what_is_held(fleet: Fleet) -> None:
    fleet.send("home", 2)
    slots = Slots(2)
    worker = fleet.worker(engine=slots)

    def stop(_: object) -> None:
        worker.signals.received = signal.SIGTERM

    worker.show = stop
    assert worker.run() == 0 and slots.stopped and len(slots.order) == 2
    assert {one["reason"] for one in fleet.records().values()} == {"signal 15"}
    other = Slots(2)                                       # the next life has them at once
    fleet.worker(engine=other).look(fleet.box("thor"))
    assert len(other.order) == 2
    for held in other.running:
        held.__exit__(None, None, None)


def test_its_numbers_are_for_prometheus_on_the_loopback(fleet: Fleet) -> None:
    fleet.send("home", 2, datetime.now(timezone.utc) + timedelta(hours=2))
    slots = Slots(1)
    worker, box = fleet.worker(engine=slots), fleet.box("thor")
    with Metrics("0") as metrics:
        worker.show, worker.closed = metrics.show, metrics.closed
        worker.look(box)
        metrics.show(worker)
        page = urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=30).read().decode()
        assert metrics.host == "127.0.0.1"
        with pytest.raises(DeviceError, match="cannot be listened on"), Metrics(str(metrics.port)):
            pass
        slots.end(DoesNotFit("enough"))
        worker.look(box)
        after = urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=30).read().decode()
    assert "edge_sleep_worker_waiting_jobs 1.0" in page and "edge_sleep_worker_held_jobs 1.0" in page
    assert 'edge_sleep_worker_jobs_total{end="declined"} 1.0' in after and "edge_sleep_worker_job_seconds_count 1.0" in after
    assert "home" not in page and fleet.keys["home"].own.id not in page
    seconds = float(next(line for line in page.splitlines() if line.startswith("edge_sleep_worker_next_morning_seconds")).split()[1])
    assert 7000 < seconds <= 7200
    worker._let_go(slots)


def test_a_step_that_a_node_sent_is_kept_whole_and_the_one_before_it_goes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for step in (1, 2, 2):
        carried.keep(state, {f"step-{step:06}/progress.json": b"{}", f"step-{step:06}/tensors.safetensors": bytes([step]),
                                 "training.json": b"{}"})
    assert sorted(file.name for file in state.iterdir()) == ["step-000002", "training.json"]
    assert carried.reached(state) == {"training.json": b"{}", "step-000002/progress.json": b"{}",
                                          "step-000002/tensors.safetensors": b"\2"}


def test_a_candidate_is_staged_under_names_of_ours(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    files = {f"candidate/{name}": name.encode() for name in ("adapter_model.safetensors", "adapter_config.json", "manifest.json")}
    for _ in range(2):
        carried.stage(state, files | {"../../escaped": b"x"}, "a" * 16)
    assert sorted(file.name for file in (state / "candidate").iterdir()) == ["adapter_config.json", "adapter_model.safetensors",
                                                                             "manifest.json"]
    assert not list(tmp_path.glob("**/escaped"))
