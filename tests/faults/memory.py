"""Memory runs out in every phase: from its beginning on this process may have so much more than it has, and no byte beyond."""
from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.faults import invariants
from tests.faults.ground import Ground, telling
from tests.faults.kills import PHASES
from tests.faults.table import Table

MORE_MIB = (0, 4, 16, 48, 96)
_ABORTS = (-6, -7, -11)                    # a library in C++ that finds no memory ends the process: for the next start that is a kill


def limit(more_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes,) * 2)


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` limits, in all phases in turn."""
    for done in range(1, number + 1):
        phase, more = PHASES[done % (len(PHASES) - 1)], chance.choice(MORE_MIB)
        trial = ground.trial(chance.choice(("fresh", "one", "one", "stopped")))

        def limited(phase: str = phase, more: int = more) -> None:
            if phase == "start":
                limit(more << 20)
            else:
                telling(lambda told: limit(more << 20) if told == phase else None)

        end = trial.run(*trial.night, prepare=limited)
        losses = invariants.named(end, "the night without memory", *_ABORTS) + invariants.kept(trial) + invariants.answers(trial)
        # Where memory ran out it goes on with smaller forwards: the same gradient, rounded otherwise.
        after, found = invariants.next_start(trial, same=False)
        losses += found
        table.add("no more memory", phase, end.name, after, losses, f"memory round {done}: {phase}, {more} MiB more")
        if not losses:
            trial.drop()
        yield f"{done} of {number} limits"
