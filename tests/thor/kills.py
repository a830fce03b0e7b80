"""A campaign: `python -m tests.thor.kills FOLDER ROUNDS SEED` kills -9 edge and workers at random looks at the file system.

Each round is one night that is shipped, trained by whoever lives, and promoted. A process of its own with one thread, so that it may
fork with torch in it. Prints one JSON document.
"""
from __future__ import annotations

import json
import math
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from edge_sleep.checkpoint import store
from edge_sleep.config import load
from edge_sleep.system.clock import Clock
from edge_sleep.thor.mailbox import Mailbox
from edge_sleep.thor.worker import Worker
from tests import micro
from tests.killing import ended, forked, kill_at
from tests.thor.machines import Place, make

ACTORS = ("edge", "thor", "second")
_MOST_EVENTS, _WORK_SECONDS, _MOST_STEPS = 6000, 60.0, 80


def lived(number: int | None, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed at its `number`-th event; whether it came to its end."""
    def begun() -> None:
        kill_at(number)
        work()

    status = ended(forked(begun))
    assert status in (0, -signal.SIGKILL), "an actor broke"
    return status == 0


def work(place: Place, name: str) -> None:
    """A worker that takes one job, and ends after a minute where there is none."""
    home, settings = place.home(name), load(None, place.settings("thor.lease=2s"))
    worker = Worker(home, settings, lambda: Mailbox.open(home, settings, Clock()), lambda text: None)

    def enough() -> None:
        worker.signals.received = signal.SIGTERM

    timer = threading.Timer(_WORK_SECONDS, enough)
    timer.daemon = True
    timer.start()
    worker.run(most=1)


def sound(place: Place, results: dict[str, bytes]) -> None:
    """What the home serves is whole, and what was once published is what is published."""
    home = place.home("edge")
    good, wrong = store.last_good(home)
    assert not wrong, wrong
    for file in place.mailbox.glob("jobs/*/result.json"):
        assert results.setdefault(file.parent.name, file.read_bytes()) == file.read_bytes(), "published twice"


def one_round(place: Place, chance: random.Random, expected: str) -> dict:
    killed, results = dict.fromkeys(ACTORS, 0), {}
    for step in range(_MOST_STEPS):
        name = chance.choice(ACTORS)
        last = step >= _MOST_STEPS * 3 // 4               # then all of them live
        number = None if last or chance.random() < 0.3 else int(math.exp(chance.uniform(0, math.log(_MOST_EVENTS))))
        if name != "edge" and not list(place.mailbox.glob("jobs/*/open.json")):
            name = "edge"
        act = (lambda: place.night("edge")) if name == "edge" else (lambda name=name: work(place, name))
        killed[name] += not lived(number, act)
        sound(place, results)
        if store.incumbent(place.home("edge")) is not None:
            assert store.incumbent(place.home("edge")) == expected
            return {"steps": step + 1, "killed": killed, "results": len(results)}
    raise AssertionError(f"not promoted after {_MOST_STEPS} steps: {killed}")


def main(folder: Path, rounds: int, seed: int) -> None:
    model = micro.make_model(folder / "model")
    alone = make(folder / "alone", model)
    expected = alone.night("edge", "thor.ship=never", memory=0)["candidate"]
    found, chance = [], random.Random(seed)
    for number in range(rounds):
        place = make(folder / f"round-{number}", model)
        for worker in ACTORS[1:]:
            place.pair("edge", worker)
        found.append(one_round(place, chance, expected))
        shutil.rmtree(place.root)
    print(json.dumps({"rounds": found, "killed": sum(sum(one["killed"].values()) for one in found)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
