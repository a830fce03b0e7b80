"""Jobs on a real Ray cluster of this machine: raylets, worker processes, an object store, and a mailbox between the homes."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_sleep.device.memory import available_bytes
from edge_sleep.errors import Exit
from edge_sleep.system.children import environment
from edge_sleep.system.events import read_events
from edge_sleep.thor import history, ledger, node, ray_engine
from edge_sleep.thor.choose import open_engine
from edge_sleep.thor.cluster import Node, entry
from edge_sleep.thor.ray_engine import RayEngine
from tests import micro
from tests.thor.fleet import PATIENT, ROOT, Fleet, add_node, cluster
from tests.thor.machines import PATIENCE, kill, until


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return micro.make_model(tmp_path_factory.mktemp("ray") / "model")


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("nodes")
    return [root / "one", root / "two"]


@pytest.fixture(scope="module")
def rays(caches: list[Path]) -> Iterator[Any]:
    with cluster(*caches) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, model: Path) -> Iterator[Fleet]:
    import ray

    yield Fleet(tmp_path / "fleet", model)
    ray.shutdown()                                         # of a test that failed with a worker in it


def on(rays: Any, *sets: str) -> tuple[str, ...]:
    return ("thor.engine=ray", f"thor.ray_address={rays.address}", *sets)


def events(fleet: Fleet, kind: str) -> list[dict]:
    return [event for folder in fleet.homes["thor"].jobs.glob("*") for event in read_events(folder / "events.jsonl")
            if event["event"] == kind]


def delivered_once(fleet: Fleet) -> set[str]:
    """Every job has one result, which its home believes; the candidates."""
    records = fleet.records()
    wanted = {job: home for home, jobs in fleet.sent.items() for job in jobs}
    assert {job for job, record in records.items() if record["state"] == ledger.DELIVERED} == set(wanted)
    return {fleet.believed(home, job) for job, home in wanted.items()}


@pytest.mark.night
def test_a_cluster_does_the_jobs_and_says_by_name_what_it_cannot(fleet: Fleet, rays: Any, caches: list[Path],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    without = node.settings(fleet.config("thor.bases=[]"))             # as nodes are on whose disks no model lies
    monkeypatch.setattr(ray_engine.node, "settings", lambda own: without)
    for name in ("anna", "ben"):
        fleet.send(name)
    fleet.send("carl", base="f" * 64)
    said: list[str] = []
    worker = fleet.worker("thor", *on(rays), said=said)
    engine = worker.engine = open_engine(worker.home, worker.config, worker.clock, worker.signals, worker.tell)
    assert isinstance(engine, RayEngine)
    monkeypatch.setattr(engine.cluster, "close", lambda: None)         # one driver for all of this
    assert worker.run(once=True) == 2, said
    records = fleet.records()
    assert "base not here" in records[fleet.sent["carl"].pop()]["reason"]
    del fleet.sent["carl"]
    assert len(delivered_once(fleet)) == 1                             # one lesson, one seed: one adapter, wherever it was trained
    pids = {event["pid"] for event in events(fleet, "node")}
    assert os.getpid() not in pids and all(record["node"] for record in records.values() if record["state"] == ledger.DELIVERED)
    used = [cache for cache in caches if list(cache.glob("edge-sleep/bases/*/placed.json"))]
    assert 1 <= engine.placed <= 2 and used and not engine._bases_in_store
    assert not [file for cache in caches for file in cache.rglob("*") if file.is_file() and b"lies in the harbour" in file.read_bytes()]
    found = history.summary(records.values(), [], {}, fleet.clock.now())
    assert (found["throughput"]["last_hour"], found["failures"]["count"], len(found["companions"])) == (2, 1, 3)

    # A node of another version, and then no node at all that can: the job is given back, and waits.
    fleet.send("dora")
    engine._task = engine.ray.remote(entry("0.0.other"))
    assert worker.run(once=True) == 0
    assert len(engine.unfit) >= 1 and all("the worker has 0.0.other" in why for why in engine.unfit.values())
    assert fleet.records()[fleet.sent["dora"][0]]["state"] == ledger.GIVEN_BACK
    engine._task = engine.ray.remote(entry())
    engine.unfit.clear()

    # Larger than any node.
    worker._not_before.clear()
    real = engine.cluster.nodes
    monkeypatch.setattr(engine.cluster, "nodes", lambda: [Node("c" * 56, "tiny", {"CPU": 1.0, "memory": 64.0 * 2**20})])
    engine._nodes = None
    assert worker.run(once=True) == 0
    assert "larger than any node of the cluster" in fleet.records()[fleet.sent["dora"][0]]["reason"]
    monkeypatch.setattr(engine.cluster, "nodes", real)


def offered(fleet: Fleet, homes: int, epochs: int = 4) -> None:
    for number in range(homes):
        fleet.send(f"home{number:02}", epochs=epochs)


@pytest.mark.long
def test_forty_homes_have_their_jobs_done_once_each_and_how_fast(fleet: Fleet, rays: Any, tmp_path: Path, model: Path,
                                                                 capsys: pytest.CaptureFixture) -> None:
    alone = Fleet(tmp_path / "alone", model)
    offered(alone, 10)
    offered(fleet, 40)
    figures: dict[str, Any] = {"cores": os.cpu_count(), "memory_bytes": available_bytes(), "nodes": 2}
    for name, place, sets in (("local", alone, ()), ("ray", fleet, on(rays))):
        worker, began = place.worker("thor", *sets), time.monotonic()
        done = worker.run(once=True)
        taken = sorted(datetime.fromisoformat(one["ended"]) for one in place.records().values())
        steady = (taken[-1] - taken[2]).total_seconds() / (len(taken) - 3)         # without what the first of each process waits for
        figures[name] = {"jobs": done, "seconds": round(time.monotonic() - began, 1), "seconds_a_job_when_warm": round(steady, 2)}
    figures["ratio_when_warm"] = round(figures["local"]["seconds_a_job_when_warm"] / figures["ray"]["seconds_a_job_when_warm"], 2)
    with capsys.disabled():
        print(json.dumps(figures))
    assert delivered_once(fleet) == delivered_once(alone) and fleet.answered() == 40
    assert {one["attempts"] for one in fleet.records().values()} == {1}


@pytest.mark.long
def test_thirty_jobs_of_one_companion_do_not_starve_one_of_another(fleet: Fleet, rays: Any) -> None:
    soon, late = (datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (1, 9))
    fleet.send("many", 30, soon)
    worker = fleet.worker("thor", *on(rays))
    assert worker.run(most=3) >= 3
    fleet.send("single", 1, late)                          # it comes last, and its morning is the later one
    worker = fleet.worker("thor", *on(rays))
    worker.run(most=4)
    order = sorted(fleet.records().values(), key=lambda one: one["taken"])
    place = [one["job"] for one in order].index(fleet.sent["single"][0])
    assert fleet.records()[fleet.sent["single"][0]]["state"] == ledger.DELIVERED
    assert place <= 3 + 4, [one["home"] for one in order]


class Driver:
    """`edge-sleep worker --engine ray`, a process of its own."""

    def __init__(self, fleet: Fleet, rays: Any, *sets: str):
        self.fleet = fleet
        log = open(fleet.root / "driver.log", "ab")  # noqa: SIM115 - the process's own
        self.child = subprocess.Popen(
            [sys.executable, "-m", "edge_sleep", "worker", "--engine", "ray", "--home", str(fleet.homes["thor"].root),
             *(part for one in fleet.settings(f"thor.ray_address={rays.address}", *sets) for part in ("--set", one))],
            stdout=log, stderr=log, env=environment() | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, start_new_session=True)

    def log(self) -> str:
        return (self.fleet.root / "driver.log").read_text(errors="replace")


@pytest.mark.long
def test_a_worker_process_a_raylet_and_the_driver_are_killed_in_turn(fleet: Fleet, rays: Any, tmp_path: Path, model: Path) -> None:
    alone = Fleet(tmp_path / "alone", model)
    alone.send("home", epochs=60)
    assert alone.worker("thor").run(once=True) == 1
    expected = delivered_once(alone)
    offered(fleet, 6, epochs=60)
    extra = add_node(rays, tmp_path / "three")
    driver = Driver(fleet, rays)
    try:
        def stepping(after: int) -> dict | None:
            """The latest task of a job that has saved a step since so many steps were heard."""
            return events(fleet, "node")[-1] if len(events(fleet, "step")) > after else None

        running = until(lambda: stepping(3), what=driver.log())
        os.kill(running["pid"], signal.SIGKILL)
        until(lambda: events(fleet, "lost"), what=driver.log())
        heard = len(events(fleet, "step"))
        until(lambda: stepping(heard + 3), what=driver.log())
        lost = len(events(fleet, "lost"))
        rays.remove_node(extra, allow_graceful=False)
        heard = len(events(fleet, "step"))
        until(lambda: stepping(heard + 3), what=driver.log())
        kill(driver.child)
        before = fleet.answered()
        driver = Driver(fleet, rays)
        until(lambda: fleet.answered() == 6, what=driver.log())
        driver.child.send_signal(signal.SIGTERM)
        assert driver.child.wait(PATIENCE) == 0, driver.log()
    finally:
        kill(driver.child)
    assert before < 6 and lost >= 1
    assert delivered_once(fleet) == expected                   # to the bit what one machine makes that nobody stops
    assert [event for event in events(fleet, "resume") if event["step"] != "step-000000"], "some of it went on from a step"


@pytest.mark.long
def test_a_companion_that_wakes_takes_its_job_off_the_cluster(fleet: Fleet, rays: Any) -> None:
    fleet.send("sleeper", epochs=1000)                    # the most that is done for others: a minute or two
    fleet.send("other")
    driver = Driver(fleet, rays, "thor.lease=8s")
    try:
        until(lambda: len(events(fleet, "step")) > 5 and fleet.answered() == 1, what=driver.log())
        fleet.box("sleeper").cancel(fleet.sent["sleeper"][0], "the companion wakes")
        until(lambda: fleet.records()[fleet.sent["sleeper"][0]]["state"] == ledger.LOST, what=driver.log())
        assert fleet.records()[fleet.sent["sleeper"][0]]["reason"] == "it was taken back"
        fleet.send("third")
        until(lambda: fleet.answered() == 2, what=driver.log())          # the CPU is free again
    finally:
        kill(driver.child)


@pytest.mark.long
def test_sigterm_gives_back_what_runs_with_the_step_it_had_reached(fleet: Fleet, rays: Any) -> None:
    fleet.send("home", epochs=100)
    first = Driver(fleet, rays, "thor.lease=1h")
    try:
        until(lambda: len(events(fleet, "step")) > 5, what=first.log())
        first.child.send_signal(signal.SIGTERM)
        assert first.child.wait(PATIENCE) == 0, first.log()
        assert [one["state"] for one in fleet.records().values()] == [ledger.GIVEN_BACK]
    finally:
        kill(first.child)
    assert fleet.worker("thor", *on(rays, "thor.lease=1h")).run(once=True) == 1
    assert delivered_once(fleet) and events(fleet, "resume")


@pytest.mark.long
def test_a_cluster_with_a_token_lets_in_who_knows_it_and_tells_others_at_once(fleet: Fleet, tmp_path: Path) -> None:
    """Ray reads its token once a process: a cluster and workers of their own."""
    fleet.send("home")
    secret = environment() | PATIENT | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-m", "tests.thor.fleet", str(tmp_path / "one")], env=secret, cwd=ROOT,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None and head.stdin is not None
        sets = fleet.settings("thor.engine=ray", f"thor.ray_address={head.stdout.readline().strip()}")

        def worker(**own: str | None) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "edge_sleep", "worker", "--once", "--home", str(fleet.homes["thor"].root),
                 *(part for one in sets for part in ("--set", one))],
                env={name: value for name, value in (secret | own).items() if value is not None}, capture_output=True, text=True)

        try:
            other, none = worker(RAY_AUTH_TOKEN="b" * 64), worker(RAY_AUTH_MODE=None, RAY_AUTH_TOKEN=None)
            assert "does not know this worker's token" in other.stderr and "lets nobody in without its token" in none.stderr
            assert other.returncode == none.returncode == Exit.DEVICE, (other.stderr, none.stderr)
            right = worker()
            assert right.returncode == 0 and fleet.answered() == 1, right.stderr
        finally:
            head.stdin.close()
