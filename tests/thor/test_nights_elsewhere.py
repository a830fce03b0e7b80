"""Nights that are trained by another machine: through a folder, with real processes, on the micro-model."""
from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.errors import Exit, RemoteRefused
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import read_events
from edge_sleep.thor import ledger
from edge_sleep.thor.mailbox import Mailbox
from edge_sleep.train.budget import Contract
from tests import micro
from tests.thor import machines
from tests.thor.machines import PATIENCE, Place, until

pytestmark = pytest.mark.night
NAMES = ("edge", "thor", "second")
WORKERS = ("thor", "second")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An edge and two workers; tonight's night is packed, and away."""
    root = tmp_path_factory.mktemp("elsewhere")
    model = micro.make_model(root / "model")
    place = machines.make(root / "origin", model)
    for worker in WORKERS:                                # these two know the edge alone
        place.pair("edge", worker)
    record = place.night("edge")
    assert (record["outcome"], record["exit_code"]) == ("shipped", Exit.SHIPPED), record["reason"]
    return place


@pytest.fixture(scope="module")
def expected(origin: Place) -> str:
    """The adapter that the same night makes on this machine alone, with enough memory."""
    place = machines.make(origin.root.parent / "alone", origin.model)
    record = place.night("edge", "thor.ship=never", memory=0)
    assert record["plan"]["where"] == "cpu" and record["outcome"] == "promoted"
    return record["candidate"]


@pytest.fixture
def place(origin: Place, tmp_path: Path) -> Place:
    """A copy of `origin`, in which anything may happen."""
    root = tmp_path / "copy"
    shutil.copytree(origin.root, root)
    return Place(root, origin.model)


def job_of(place: Place) -> str:
    return ledger.away(place.home("edge"), next(place.home("edge").nights.iterdir()).name)["job"]


def box(place: Place, name: str) -> Mailbox:
    return Mailbox(FolderRemote(place.mailbox), Keys.open(place.home(name).keys, name), Clock())


def events(place: Place, name: str, kind: str) -> list[dict]:
    return [event for folder in place.home(name).jobs.glob("*") for event in read_events(folder / "events.jsonl")
            if event["event"] == kind]


def at_step(place: Place, name: str, number: int = 2) -> Callable[[], bool]:
    return lambda: any(event["step"] >= number for event in events(place, name, "step"))


def test_refused_for_memory_here_trained_there_judged_and_promoted_here(place: Place, expected: str) -> None:
    shipped = json.loads(next(place.home("edge").nights.glob("*/record.json")).read_bytes())
    assert shipped["plan"]["where"] == "remote" and "one example at a time needs" in shipped["reason"]
    assert any(line.startswith("ship.memory ship:") for line in shipped["plan"]["reasons"])
    micro.write_talk(place.sessions, [("Who mends the nets?", "Old Anna mends the nets on the pier.")], 2)
    assert place.work("thor")[0] == 1

    record = place.night("edge", memory=0)               # the tests' own process has long grown beyond the edge's limit
    assert record["outcome"] == "promoted", record["reason"]
    assert record["night"] == shipped["night"] and record["plan"]["where"] == "remote"
    [edge], [thor] = place.jobs("edge", "edge"), place.jobs("worker", "thor")
    assert {key: edge[key] for key in ledger.SHARED} == {key: thor[key] for key in ledger.SHARED}
    assert (edge["state"], thor["state"]) == (ledger.RETURNED, ledger.DELIVERED)
    assert record["remote"] == {key: edge[key] for key in record["remote"]} and record["remote"]["attempts"] == 1
    assert {"tensors", "finite", "moved", "id"} <= set(record["remote"]["verified"])
    assert record["candidate"] == thor["candidate"] == store.incumbent(place.home("edge")) == expected
    assert all(record["train"][key] == value for key, value in thor["train"].items())

    waiting = [path for path in place.home("edge").nights.glob("*/state")]
    assert not waiting and "Anna" not in json.dumps(record["data"])          # what came meanwhile waits for the night after
    assert record["data"]["selected"] == len(micro.TALK)
    names = set(place.files(edge["job"]))
    assert {"open.json", "lease-0001.json", "result.json", "taken.json"} <= names
    assert not list((place.home("edge").jobs / edge["job"]).glob("*.sealed"))
    assert b"Heron" not in b"".join(place.files(edge["job"]).values())


def test_two_workers_take_it_once_and_where_one_is_killed_the_other_finishes(place: Place, expected: str) -> None:
    job, running = job_of(place), {name: place.worker(name, "thor.lease=10s") for name in WORKERS}
    try:
        first = until(lambda: next((name for name in WORKERS if at_step(place, name)()), None), what=place.log("thor"))
        other = next(name for name in WORKERS if name != first)
        assert not place.jobs("worker", other) and set(place.files(job)) & {"lease-0001.json", "lease-0002.json"} == {"lease-0001.json"}
        machines.kill(running[first])
        assert "result.json" not in place.files(job)
        assert running[other].wait(PATIENCE) == 0, place.log(other)
    finally:
        for child in running.values():
            machines.kill(child)
    [done] = place.jobs("worker", other)
    assert (done["state"], done["attempts"], done["candidate"]) == (ledger.DELIVERED, 2, expected)
    assert "has been silent for" in place.log(other)
    answer = box(place, "edge").answer(job, [Keys.open(place.home(name).keys).own.id for name in WORKERS])
    assert answer is not None and answer.lease == 2
    assert sum(name.startswith("result-") for name in place.files(job)) == 1
    assert place.work(first) == (0, [])                   # who comes back finds nothing to do


@pytest.mark.long
def test_one_that_slept_while_another_finished_publishes_nothing(place: Place, expected: str) -> None:
    job = job_of(place)
    first = place.worker("thor", options=("--once",))
    try:
        until(at_step(place, "thor", 1), what=place.log("thor"))
        os.kill(first.pid, signal.SIGSTOP)
        assert place.work("second", "thor.lease=2s", once=False, most=1)[0] == 1
        published = place.files(job)
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(PATIENCE) == Exit.NOTHING_TO_DO, place.log("thor")
    finally:
        machines.kill(first)
    assert place.files(job)["result.json"] == published["result.json"]
    assert [one["state"] for one in place.jobs("worker", "thor")] == [ledger.LOST]
    assert place.jobs("worker", "second")[0]["candidate"] == expected


@pytest.mark.long
def test_sigterm_gives_the_lease_back_and_the_next_start_goes_on(place: Place, expected: str) -> None:
    first = place.worker("thor", "thor.lease=1h")
    try:
        until(at_step(place, "thor"), what=place.log("thor"))
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE) == Exit.OK, place.log("thor")
    finally:
        machines.kill(first)
    [given] = place.jobs("worker", "thor")
    assert given["state"] == ledger.GIVEN_BACK and "signal 15" in given["reason"]
    assert place.work("thor", "thor.lease=1h")[0] == 1    # at once, whatever the lease is
    [done] = place.jobs("worker", "thor")
    assert (done["attempts"], done["candidate"]) == (2, expected)
    assert [event["step"] for event in events(place, "thor", "resume")]


@pytest.mark.long
def test_stopped_midway_it_goes_on_elsewhere_from_the_step_it_had_reached(origin: Place, tmp_path: Path, expected: str,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    place = machines.make(tmp_path / "midway", origin.model)
    place.pair("edge", "thor")
    asked: list[float] = []
    monkeypatch.setattr(Contract, "fits", lambda self, seconds: asked.append(seconds) or len(asked) < 4)
    record = place.night("edge", memory=0)
    assert record["outcome"] == "shipped" and "steps are done" in record["reason"], record["reason"]
    [sent] = place.jobs("edge", "edge")
    assert sent["resumed_from"] and record["plan"]["where"] == "remote"
    monkeypatch.undo()
    assert place.work("thor")[0] == 1
    record = place.night("edge", memory=0)
    assert record["outcome"] == "promoted" and record["candidate"] == expected
    assert record["remote"]["resumed_from"] == sent["resumed_from"]


def test_a_mailbox_that_is_not_there_ends_the_night_by_its_old_name(place: Place, tmp_path: Path) -> None:
    fresh = machines.make(tmp_path / "fresh", place.model)
    fresh.pair("edge", "thor")
    fresh.mailbox.rmdir()
    record = fresh.night("edge")
    assert record["outcome"] == "does_not_fit" and "not shipped yet" in record["reason"]
    [job] = fresh.jobs("edge", "edge")
    assert job["state"] == ledger.PACKED and (fresh.home("edge").nights / record["night"] / "state" / "plan.json").is_file()
    assert fresh.night("edge")["outcome"] == "does_not_fit" and len(fresh.jobs("edge", "edge")) == 1
    fresh.mailbox.mkdir()
    record = fresh.night("edge")
    assert record["outcome"] == "shipped" and fresh.jobs("edge", "edge")[0]["state"] == ledger.SENT
    assert "open.json" in fresh.files(job["job"])


def test_waiting_says_how_long_and_nothing_is_sent_twice(place: Place) -> None:
    before = place.files(job_of(place))
    record = place.night("edge")
    assert record["outcome"] == "shipped" and "no worker has taken it yet" in record["reason"]
    thor = box(place, "thor")
    offer = thor.waiting(job_of(place))
    thor.take(offer, 1)
    thor.beat(offer, 1, 1, step=3, steps=9)
    record = place.night("edge")
    assert record["outcome"] == "shipped" and "thor works on it, step 3 of 9" in record["reason"]
    shutil.move(place.mailbox, place.root / "away")
    record = place.night("edge")
    assert record["outcome"] == "shipped" and "cannot be reached" in record["reason"]
    shutil.move(place.root / "away", place.mailbox)
    assert before.items() <= place.files(job_of(place)).items()


def test_past_its_patience_a_job_is_taken_back(place: Place) -> None:
    job = job_of(place)
    record = place.night("edge", "thor.patience=1s")
    assert record["outcome"] == "does_not_fit" and "thor.patience" in record["reason"]
    assert box(place, "thor").seen(box(place, "thor").waiting(job)).closed == "it was taken back"
    assert place.jobs("edge", "edge")[0]["state"] == ledger.CANCELLED


def test_what_every_worker_sends_back_is_not_asked_again_tonight(place: Place) -> None:
    done, said = place.work("thor", "thor.bases=[seedling]")
    assert not done and "base not here" in said[-1]
    record = place.night("edge")
    assert record["outcome"] == "shipped"                 # the second has not said anything yet
    box(place, "second").decline(job_of(place), "too large for this machine")
    record = place.night("edge")
    assert record["outcome"] == "does_not_fit"
    assert "thor: base not here" in record["reason"] and "second: too large" in record["reason"]


def forged(place: Place, by: str) -> None:
    """A result under a good signature of `by`, with something else in it."""
    mailbox, job = box(place, by), job_of(place)
    offer = mailbox.waiting(job) if by != "stranger" else None
    plain, sealed = place.root / "plain", place.root / "sealed"
    plain.write_bytes(b"\x80\x04cos\nsystem\n")
    envelope.seal(plain, sealed, mailbox.keys, [Keys.open(place.home("edge").keys).own], f"result:{job}")
    mailbox.deliver(offer or box(place, "thor").waiting(job), 1, sealed, place.root / "note")


@pytest.mark.parametrize("by, why", [("stranger", "unknown signer"), ("thor", "zip|archive")])
def test_a_hostile_result_is_refused_by_name_and_kept_aside(place: Place, by: str, why: str) -> None:
    home = place.home("edge")
    current = home.current.read_bytes() if home.current.is_file() else None
    for times in (1, 2):
        job = job_of(place)
        forged(place, by)
        with pytest.raises(RemoteRefused, match=why):
            place.night("edge")
        [night] = home.nights.iterdir()
        record = json.loads((night / "record.json").read_bytes())
        assert record["exit_code"] == Exit.REMOTE_REFUSED and record["reason"]
        jobs = {one["job"]: one["state"] for one in place.jobs("edge", "edge")}
        assert jobs[job] == ledger.REFUSED and len(jobs) == times and "cancel.json" in place.files(job)
        assert by == "stranger" or (home.jobs / job / "refused" / "result.sealed").is_file()
        assert not (night / "state" / "candidate").exists()
        record = place.night("edge")
        assert record["outcome"] == ("shipped" if times == 1 else "does_not_fit"), record["reason"]
    assert "2 results of this night were refused" in record["reason"]
    assert (home.current.read_bytes() if home.current.is_file() else None) == current and not list(home.adapters.iterdir())


def test_settings_that_changed_take_the_job_back(place: Place) -> None:
    job = job_of(place)
    record = place.night("edge", "train.epochs=3")
    assert record["outcome"] == "shipped" and "cancel.json" in place.files(job)
    assert [one["state"] for one in place.jobs("edge", "edge") if one["job"] == job] == [ledger.CANCELLED]
    assert len(place.jobs("edge", "edge")) == 2


def test_always_ships_what_would_fit_and_waits_within_the_night(tmp_path: Path, origin: Place, expected: str) -> None:
    place = machines.make(tmp_path / "always", origin.model)
    place.pair("edge", "thor")
    done: list[int] = []
    worker = threading.Thread(target=lambda: done.append(place.work("thor", once=False, most=1)[0]), daemon=True)
    worker.start()
    record = place.night("edge", "thor.ship=always", f"thor.wait={PATIENCE:.0f}s", f"budget.time={3 * PATIENCE:.0f}s", memory=0)
    worker.join(PATIENCE)
    assert done == [1]
    assert record["outcome"] == "promoted" and record["candidate"] == expected and record["plan"]["where"] == "remote"
    names = {phase["name"] for phase in record["phases"]}
    assert {"ship", "judge", "promote"} <= names and "train" not in names
