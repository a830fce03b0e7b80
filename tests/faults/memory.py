"""Memory runs out in every phase: from its beginning on this process may have so much more than it has, and no byte beyond; or from its
n-th tensor on there is none, which a model of two layers meets at every n."""
from __future__ import annotations

import math
import random
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.faults import invariants, shim
from tests.faults.ground import Ground, telling
from tests.faults.kills import PHASES
from tests.faults.table import Table

MORE_MIB = (0, 4, 16, 48, 96)
_MOST_TENSORS = 3000                       # a phase asks for so many, about
_ABORTS = (-6, -7, -11)                    # a library in C++ that finds no memory ends the process: for the next start that is a kill


def limit(more_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes,) * 2)


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` limits, in all phases in turn; two of three on tensors, where there is a shim."""
    for done in range(1, number + 1):
        phase, more = PHASES[done % (len(PHASES) - 1)], chance.choice(MORE_MIB)
        of_tensors = bool(done % 3) and shim.library() is not None
        tensor, how = int(math.exp(chance.uniform(0, math.log(_MOST_TENSORS)))), chance.choice((shim.ONCE, shim.FROM))
        trial = ground.trial(chance.choice(("fresh", "one", "one", "stopped")))
        what = f"tensor {tensor}{' and all later' if how == shim.FROM else ''}" if of_tensors else f"{more} MiB more"

        def limited(phase: str = phase, more: int = more, of_tensors: bool = of_tensors, tensor: int = tensor, how: int = how) -> None:
            def begin() -> None:
                if of_tensors:
                    shim.starve(tensor, how)
                else:
                    limit(more << 20)
            if phase == "start":
                begin()
            else:
                telling(lambda told: begin() if told == phase else None)

        end = trial.run(*trial.night, prepare=limited)
        losses = invariants.named(end, "the night without memory", *_ABORTS) + invariants.kept(trial) + invariants.answers(trial)
        # Where memory ran out it goes on with smaller forwards: the same gradient, rounded otherwise.
        after, found = invariants.next_start(trial, same=False)
        losses += found
        kind = "a tensor finds no memory" if of_tensors else "no more memory"
        table.add(kind, phase, end.name, after, losses, f"memory round {done}: {phase}, {what}")
        if not losses:
            trial.drop()
        yield f"{done} of {number} limits"
