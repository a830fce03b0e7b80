"""The jtop service is gone: killed or stopped at a random instant of a night that is minded through it."""
from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

from edge_sleep.benchmarks.fake_board.service import Service, impossible
from edge_sleep.benchmarks.fake_board.tree import Board

from tests.faults import invariants
from tests.faults.ground import Ground
from tests.faults.table import Table

_SETS = ("--profile", "orin-nano-8gb", "--set", "thermal.source=jtop", "--set", "thermal.longest_pause=2s")


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` nights whose service goes."""
    if (why := impossible()) is not None:
        yield f"left out: {why}"
        return
    for done in range(1, number + 1):
        trial = ground.trial("one")
        how = chance.choice((signal.SIGKILL, signal.SIGSTOP))
        with Service(Board(trial.root / "board", "orin-nano-8gb", 45.0, 12.0)) as service:
            child = trial.begin(*trial.night, *_SETS)
            time.sleep(chance.uniform(0, 1.5 * sum(ground.seconds.values())))
            service.signal(how)
            end = trial.end(child)
            losses = invariants.named(end, "the night whose sensors went") + invariants.kept(trial)
        losses += invariants.answers(trial)
        after, more = invariants.next_start(trial)
        losses += more
        table.add("jtop service gone", "killed" if how == signal.SIGKILL else "hangs", end.name, after, losses, f"jtop round {done}")
        if not losses:
            trial.drop()
        yield f"{done} of {number}"
