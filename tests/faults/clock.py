"""The wall clock leaps while a night runs, or is wrong from boot on: 1970, hours back and forth, years ahead."""
from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.faults import invariants, shim
from tests.faults.ground import Ground, telling
from tests.faults.kills import PHASES
from tests.faults.table import Table

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
LEAPS = {"an hour back": -HOUR, "an hour ahead": HOUR, "a day back": -DAY, "a day ahead": DAY, "a year ahead": YEAR, "ten years ahead": 10 * YEAR,
         "to 1970": None}


def seconds(name: str) -> int:
    """How far it leaps: to the first day of 1970 from whatever it is now."""
    leap = LEAPS[name]
    return -int(time.time()) + 60 if leap is None else leap


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` leaps; half of the nights that follow run under the wrong clock, too."""
    if shim.library() is None:
        yield "left out: no C compiler"
        return
    for done in range(1, number + 1):
        name, phase = list(LEAPS)[done % len(LEAPS)], chance.choice(PHASES[:-1])
        trial, leap = ground.trial(chance.choice(("fresh", "one", "one", "stopped"))), seconds(name)

        def leaping(phase: str = phase, leap: int = leap) -> None:
            if phase == "start":
                shim.leap(leap)
            else:
                telling(lambda told: shim.leap(leap) if told == phase else None)

        stays = chance.random() < 0.5
        wrong = (lambda leap=leap: shim.leap(leap)) if stays else (lambda: None)
        end = trial.run(*trial.night, prepare=leaping)
        losses = invariants.named(end, "the night whose clock leapt") + invariants.kept(trial)
        after, more = invariants.next_start(trial, prepare=wrong)
        pruned = trial.run("prune", prepare=wrong)
        losses += more + invariants.named(pruned, "`prune`") + invariants.kept(trial) + invariants.answers(trial)
        table.add(f"clock leaps {name}", phase, end.name, after, losses, f"clock round {done}" + (", and stays" if stays else ""))
        if not losses:
            trial.drop()
        yield f"{done} of {number} leaps"
