"""A full disk, a quota, a device that answers with errors, a mount that turned read-only: at every call of a night that writes."""
from __future__ import annotations

import errno
import random
import re
from collections.abc import Iterator

from tests.faults import invariants, shim
from tests.faults.ground import Ground
from tests.faults.table import Table

# errno, and whether it lasts: a full disk stays full for all later calls, after half of a write was taken.
FAULTS = {"full from then on": (errno.ENOSPC, shim.FROM), "full in the middle of a write": (errno.ENOSPC, shim.HALF),
          "full for one call": (errno.ENOSPC, shim.ONCE), "quota reached": (errno.EDQUOT, shim.FROM),
          "error of the device": (errno.EIO, shim.ONCE), "read-only from then on": (errno.EROFS, shim.FROM)}
_FEW, _CALLS = 8, 300                      # a night makes about so many
_NAMES = ((r"\d{8}-\d{6}[b-z]?", "NIGHT"), (r"\b[0-9a-f]{16}\b", "ADAPTER"), (r"step-\d+", "step"), (r"\.tmp-", ""), (r"\.\d+$", ""),
          (r"base-.*\.", "base."), (r"\d{8}\.json", "DAY.json"))


def place(call: str) -> str:
    """Which file a call was about, without the names that differ from night to night."""
    for pattern, name in _NAMES:
        call = re.sub(pattern, name, call)
    return call


def calls(ground: Ground, stage: str) -> list[str]:
    """Every call of a whole night that changes the home, in order."""
    trial = ground.trial(stage)
    log = trial.root / "calls"
    end = trial.run(*trial.night, prepare=lambda: shim.arm(trial.home.root, 0, shim.ONCE, 0, log))
    assert end.code == 0, end.said[-2000:]
    found = log.read_text(errors="replace").splitlines()
    trial.drop()
    return found


def chosen(found: list[str], number: int, chance: random.Random) -> list[int]:
    """So many of the calls: each kind of call before any a second time."""
    kinds: dict[str, list[int]] = {}
    for at, call in enumerate(found, start=1):
        kinds.setdefault(place(call), []).append(at)
    for of in kinds.values():
        chance.shuffle(of)
    order = []
    while any(kinds.values()):
        turn = [of.pop() for of in kinds.values() if of]
        chance.shuffle(turn)
        order += turn
    return order[:number]


def one(ground: Ground, stage: str, at: int, fault: str, table: Table) -> None:
    trial = ground.trial(stage)
    number, how = FAULTS[fault]
    log = trial.root / "calls"
    end = trial.run(*trial.night, prepare=lambda: shim.arm(trial.home.root, at, how, number, log))
    hit = place(log.read_text(errors="replace").partition("\n")[0]) if log.is_file() else "none"
    losses = invariants.named(end, "the night that was hit") + invariants.kept(trial) + invariants.answers(trial)
    after, more = invariants.next_start(trial)
    losses += more
    file = hit.partition(" ")[2] or hit
    table.add(fault, file, end.name, after, losses, f"disk {stage} call {at} ({hit})")
    if not losses:
        trial.drop()


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` calls, of a second night for the most part, each with one of the faults in turn."""
    if shim.library() is None:
        yield "left out: no C compiler"
        return
    faults, done = list(FAULTS), 0
    for stage, share in (("one", number - number // 4), ("fresh", number // 4)):
        if number < _FEW:                  # not worth a night to list them
            picked = [chance.randint(1, _CALLS) for _ in range(share)]
        else:
            found = calls(ground, stage) if share else []
            picked = chosen(found, share, chance)
            yield f"{len({place(call) for call in found})} kinds of calls among {len(found)} of a {stage} home's night"
        for at in picked:
            one(ground, stage, at, faults[done % len(faults)], table)
            done += 1
            yield f"{done} of {number} calls"
