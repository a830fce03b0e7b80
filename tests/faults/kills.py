"""kill -9 at random instants: of every phase by the clock, and of the night's looks at the file system."""
from __future__ import annotations

import math
import os
import random
import select
import signal
import time
from collections.abc import Iterator

from tests.faults import invariants
from tests.faults.ground import Ground, Trial, telling
from tests.faults.table import Table
from tests.killing import kill_at

PHASES = ("start", "ingest", "select", "plan", "train", "judge", "promote", "end")
_MOST_EVENTS = 2500                        # a night looks at the file system about so often
_AGAIN = 0.3                               # how often the start that mends is killed too


def killed(trial: Trial, phase: str, after: float) -> tuple[int, str]:
    """Run a night and kill it so many seconds into this phase: (its status, the phase in which it died)."""
    reader, writer = os.pipe()
    child = trial.begin(*trial.night, prepare=lambda: telling(lambda name: os.write(writer, f"{name or 'end'}\n".encode())))
    os.close(writer)
    told = b""
    try:
        while phase != "start" and f"{phase}\n".encode() not in told:
            if not (more := os.read(reader, 4096)):
                break                      # it came to its end before
            told += more
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        end = trial.end(child)
        while select.select([reader], [], [], 0)[0] and (more := os.read(reader, 4096)):
            told += more
    finally:
        os.close(reader)
    names = told.decode().split()
    # Between two phases is the end of the last one.
    last = next((name for name in reversed(names) if name != "end"), "start")
    return end.code, "end" if names and names[-1] == "end" and last == "promote" else last


def one(ground: Ground, chance: random.Random, number: int, table: Table) -> int:
    """One round: a night killed once or more, then whole. Returns how many times."""
    trial = ground.trial("fresh" if number % 4 == 3 else "one")
    kills, again = [], True
    while again:
        phase = PHASES[(number + len(kills)) % len(PHASES)]
        if chance.random() < 0.6:
            code, where = killed(trial, phase, chance.uniform(0, ground.seconds[phase]))
        else:
            event, where = int(math.exp(chance.uniform(0, math.log(_MOST_EVENTS)))), "an event"
            code = trial.run(*trial.night, prepare=lambda event=event: kill_at(event)).code
        kills.append((where, code))
        again = code == -signal.SIGKILL and chance.random() < _AGAIN
    losses = invariants.kept(trial) + invariants.answers(trial)
    # Three kills in one step halve the forwards: the same gradient, rounded otherwise.
    after, more = invariants.next_start(trial, same=len(kills) < 3)
    losses += more
    for place, (where, code) in enumerate(kills):
        last = place == len(kills) - 1
        table.add("kill -9", where, "SIGKILL" if code < 0 else f"done {code}", after if last else "killed too",
                  losses if last else [], f"kills round {number}")
    if not losses:
        trial.drop()
    return sum(code < 0 for _, code in kills)


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` kills."""
    done = place = 0
    while done < number:
        done += one(ground, chance, place, table)
        place += 1
        yield f"{done} of {number} kills in {place} rounds"
