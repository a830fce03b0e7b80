"""kill -9 of nights of the embedded default: each home is killed up to four times on its way through one night."""
from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

from edge_sleep.checkpoint import store
from edge_sleep.seedling import SESSIONS
from edge_sleep.system.home import Home
from edge_sleep.system.record import read_records
from tests.faults import invariants
from tests.faults.ground import Ground, Trial, fingerprint
from tests.faults.table import Table

_A_NIGHT = 4                               # kills
# Fewer questions than a person's night asks, and one thread; a state every second, so that a night gets on between kills.
_SETS = tuple(part for item in ("gate.retention_probes=160", "gate.unknown_probes=120", "train.threads=1", "train.state_every=1s", "thermal.source=none")
              for part in ("--set", item))


def home(ground: Ground, name: str) -> Trial:
    root = ground.root / f"embedded-{name}"
    root.mkdir()
    return Trial(ground, "embedded", Home(root / "home"), SESSIONS, None, "")


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` kills. One whole night first: its adapter is what every killed one must end with."""
    whole, began, talk = home(ground, "whole"), time.monotonic(), fingerprint(SESSIONS)
    end = whole.run(*whole.night, *_SETS)
    assert end.code == 0, end.said[-3000:]
    seconds, expected = time.monotonic() - began, store.incumbent(whole.home)
    whole.drop()
    yield f"a whole night takes {seconds:.0f} s"
    done = 0
    while done < number:
        trial, losses = home(ground, str(done)), []
        for _ in range(min(_A_NIGHT, number - done)):
            child = trial.begin(*trial.night, *_SETS)
            time.sleep(chance.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
            code, done = trial.end(child).code, done + 1
            losses += store.last_good(trial.home)[1]
            now = store.incumbent(trial.home)
            losses += [] if now in (None, expected) else [f"{now} is current"]
            table.add("kill -9, embedded night", "any phase", "SIGKILL" if code < 0 else f"done {code}", "", [], "")
            yield f"{done} of {number} kills"
        end = trial.run(*trial.night, *_SETS)
        losses += invariants.named(end, "the next start")
        losses += [] if store.incumbent(trial.home) == expected else [f"{store.incumbent(trial.home)} is current, a whole night makes {expected}"]
        losses += [] if fingerprint(SESSIONS) == talk else ["the transcripts were changed"]
        losses += [f"night {one['night']} has no outcome" for one in read_records(trial.home.nights) if not one["outcome"]]
        verified = trial.run("verify")
        losses += [] if verified.code == 0 else [f"verify: {verified.name}: {verified.said[-1500:]}"]
        table.add("kill -9, embedded night", "the home after them", end.name, "", losses, f"embedded home {done}")
        if not losses:
            trial.drop()
