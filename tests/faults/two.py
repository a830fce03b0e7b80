"""Several nights on one home at once, and what else may run beside them: one night works, the others are told who does."""
from __future__ import annotations

import random
import time
from collections.abc import Iterator

from edge_sleep.errors import Exit
from tests.faults import invariants
from tests.faults.ground import Ground
from tests.faults.table import Table

BESIDE = (("status",), ("verify",), ("plan",), ("experiences",), ("prune", "--dry-run"), ("rollback", "base"), ("current",), ("report",),
          ("teach", "What is two and two?", "Two and two is four."), ("prune",))


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` times two or three nights, with two other commands."""
    for done in range(1, number + 1):
        trial = ground.trial(chance.choice(("fresh", "one", "stopped", "judged")))
        others = [command for command in chance.sample(BESIDE, 2) if command[0] not in ("teach", "rollback") or done % 3 == 0]
        changes = any(command[0] in ("teach", "rollback") for command in others)
        whole = sum(ground.seconds.values())
        starts = sorted([(0.0, trial.night), *((chance.uniform(0, whole), trial.night) for _ in range(chance.randint(1, 2))),
                         *((chance.uniform(0, whole), command) for command in others)])
        children, began = [], time.monotonic()
        for place, (at, command) in enumerate(starts):
            time.sleep(max(0.0, at - (time.monotonic() - began)))
            children.append((command, trial.begin(*command, log=f"log-{place}"), f"log-{place}"))
        ends = [(command, trial.end(child, log)) for command, child, log in children]
        losses = [loss for command, end in ends for loss in invariants.named(end, f"`{command[0]}`")]
        nights = [end for command, end in ends if command[0] == "night"]
        if sum(end.code == 0 for end in nights) != 1 and not changes:
            losses.append(f"the nights ended as {', '.join(end.name for end in nights)}: one works, the others are told who does")
        if changes:                        # somebody asked for another home than the one that was
            after, more = "", invariants.untouched(trial)
        else:
            losses += invariants.kept(trial) + invariants.answers(trial)
            after, more = invariants.next_start(trial)
        losses += more
        beside = ", ".join(sorted({command[0] for command, _ in ends} - {"night"})) or "nothing else"
        for end in nights:
            table.add("nights at once", "beside " + ("what changes the home" if changes else "what reads it"), end.name, "", [], "")
        table.add("nights at once", "the home after them", Exit(0).name, after, losses, f"two round {done}: {len(nights)} nights, {beside}")
        if not losses:
            trial.drop()
        yield f"{done} of {number}"
