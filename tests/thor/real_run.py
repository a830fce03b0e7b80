"""Real workers on real micro-jobs, as a document for `fleet check`: `python -m tests.thor.real_run FILE --jobs 10 --workers 1`.

Homes send a job each, some at once, some later; every arrival, begin and end is what mailbox and ledgers say. `--ray` takes two
nodes of a Ray cluster of this machine instead of processes of the local engine; there a job that was taken may wait for a node,
and its node is free before the result is back, so it is at work from its node's first word to its last step.
"""
from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_sleep.system.clock import Clock
from edge_sleep.system.events import read_events
from edge_sleep.system.lock import is_held
from tests import micro
from tests.thor.fleet import Fleet, cluster
from tests.thor.machines import Place, until

DAWN = 3600.0                                      # the first morning, seconds after the run began
LEAST_EPOCHS, MOST_EPOCHS = 4, 24


@contextmanager
def workers(fleet: Fleet, names: list[str], sets: tuple[str, ...]) -> Iterator[None]:
    """Worker processes that wait for jobs."""
    place = Place(fleet.root, fleet.model)
    children = [place.worker(name, *sets, options=()) for name in names]
    try:
        for name in names:
            until(lambda name=name: is_held(fleet.homes[name].worker_lock), what=f"worker {name}")
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()


def send(fleet: Fleet, jobs: int, seconds: float, seed: int) -> dict[str, float | None]:
    """Half of the jobs at once, the others within so many seconds. By home, when its morning begins (monotonic is the caller's)."""
    chance, began = random.Random(seed), time.time()
    times = sorted([0.0] * (jobs // 2) + [chance.uniform(0, seconds) for _ in range(jobs - jobs // 2)])
    mornings: dict[str, float | None] = {}
    for number, at in enumerate(times):
        time.sleep(max(0.0, began + at - time.time()))
        morning = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=DAWN + chance.randrange(40_000))
        mornings[f"home{number}"] = morning.timestamp()
        fleet.send(f"home{number}", morning=morning, epochs=chance.randint(LEAST_EPOCHS, MOST_EPOCHS))
    return mornings


def document(fleet: Fleet, engine: str, servers: int, mornings: dict[str, float | None]) -> dict:
    rows = []
    names = {job: home for home, sent in fleet.sent.items() for job in sent}
    for worker in fleet.workers:
        for record in fleet.records(worker).values():
            if record["state"] != "delivered":
                continue
            server, begun, ended = (worker, record["taken"], record["returned"])
            if engine == "ray":
                server, begun, ended = at_work(fleet, worker, record)
            signed = (fleet.mailbox / "jobs" / record["job"] / "open.json").read_bytes()
            home = names[record["job"]]
            rows.append({"job": record["job"], "home": home, "worker": server, "due": mornings[home],
                         "arrived": datetime.fromisoformat(json.loads(signed.split(b"\n")[1])["document"]["at"]).timestamp(),
                         "begun": datetime.fromisoformat(begun).timestamp(), "ended": datetime.fromisoformat(ended).timestamp()})
    zero = min(row["arrived"] for row in rows)
    for row in rows:
        row |= {key: row[key] - zero for key in ("arrived", "begun", "ended", "due")}
    return {"engine": engine, "servers": servers, "zero": datetime.fromtimestamp(zero, timezone.utc).isoformat(), "jobs": rows}


def at_work(fleet: Fleet, worker: str, record: dict) -> tuple[str, str, str]:
    """The node of the cluster that was at a job, from when and until when; by the job's events."""
    heard = list(read_events(fleet.homes[worker].jobs / record["job"] / "events.jsonl"))
    first = next(event for event in heard if event["event"] == "node")
    return first["node"], first["at"], next(event["at"] for event in reversed(heard) if event["event"] == "step")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="over which the later half of the jobs comes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ray", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = ["thor"] if asked.ray else [f"worker{number}" for number in range(asked.workers)]
        fleet = Fleet(root / "fleet", micro.make_model(root / "model"), tuple(names))

        def run(*sets: str) -> dict[str, float | None]:
            with workers(fleet, names, sets):
                mornings = send(fleet, asked.jobs, asked.seconds, asked.seed)
                until(lambda: fleet.answered() == asked.jobs, what="all jobs answered")
                until(lambda: sum(one["state"] == "delivered" for name in names for one in fleet.records(name).values()) == asked.jobs,
                      what="all jobs in the ledgers")
            return mornings

        if asked.ray:
            with cluster(root / "one", root / "two") as made:
                mornings = run("thor.engine=ray", f"thor.ray_address={made.address}")
        else:
            mornings = run()
        found = document(fleet, "ray" if asked.ray else "local", 2 if asked.ray else asked.workers, mornings)
    asked.file.write_text(json.dumps(found, indent=1))
    print(f"{len(found['jobs'])} jobs, {Clock().stamp()}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
