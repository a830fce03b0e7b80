"""Storms of SIGTERM and SIGINT: many in a row, at random instants, in every phase, on the start that goes on as well."""
from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from tests.faults import invariants
from tests.faults.ground import Ground, Trial
from tests.faults.table import Table

_MOST, _STARTS = 12, 3


def stormed(trial: Trial, chance: random.Random, numbers: tuple[int, ...]) -> tuple[int, str, list[str]]:
    """A night under a storm: (signals sent, name of its end, losses)."""
    whole, sent = sum(trial.ground.seconds.values()), 0
    child = trial.begin(*trial.night)
    time.sleep(chance.uniform(0, whole))
    for _ in range(chance.randint(1, _MOST)):
        with suppress(ProcessLookupError):
            os.kill(child, chance.choice(numbers))
            sent += 1
        time.sleep(chance.choice((0.0, 0.001, 0.02, 0.2)))
    end = trial.end(child)
    # One that comes before Python listens, or after the night has, ends the process as signals do.
    return sent, end.name, invariants.named(end, "the night", *(-number for number in numbers))


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` storms, up to three on one night."""
    for done in range(1, number + 1):
        trial, losses = ground.trial(chance.choice(("fresh", "one", "stopped"))), []
        numbers = chance.choice(((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGINT)))
        sent, ends = 0, []
        for _ in range(chance.randint(1, _STARTS)):
            more, name, found = stormed(trial, chance, numbers)
            sent, ends, losses = sent + more, [*ends, name], losses + found + invariants.kept(trial)
        losses += invariants.answers(trial)
        after, more_losses = invariants.next_start(trial)
        what = "+".join(signal.Signals(one).name for one in numbers)
        table.add(f"storm of {what}", f"{len(ends)} starts" if len(ends) > 1 else "1 start", ends[-1], after, losses + more_losses,
                  f"sigterm round {done}: {sent} signals, {', '.join(ends)}")
        if not losses + more_losses:
            trial.drop()
        yield f"{done} of {number} storms"
