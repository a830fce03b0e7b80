"""Every file of a home cut, emptied, altered by a bit, gone, unreadable or closed to writing; then put back as it was."""
from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from edge_sleep.checkpoint import manifest, store
from edge_sleep.errors import EdgeSleepError
from tests.faults import invariants
from tests.faults.disk import place
from tests.faults.ground import Ground, Trial, as_nobody
from tests.faults.table import Table

DAMAGES = ("cut in half", "emptied", "a bit flipped", "gone", "unreadable", "read-only")
COMMANDS = (("status",), ("current",), ("report",), ("experiences",), ("plan",), ("prune", "--dry-run"), ("verify", "--all"))
# What the words, the settings or the rhythm of a night are made of: nothing promises them by a hash, so another night may come of it.
_UNSEALED = ("experience.db", "edge-sleep.yaml")


def damage(file: Path, how: str, chance: random.Random) -> None:
    content = file.read_bytes()
    if how == "cut in half":
        file.write_bytes(content[:len(content) // 2])
    elif how == "emptied":
        file.write_bytes(b"")
    elif how == "a bit flipped":
        at = chance.randrange(len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1:])
    elif how == "gone":
        file.unlink()
    else:
        file.chmod(0o000 if how == "unreadable" else 0o444)


def one(ground: Ground, stage: str, name: str, how: str, chance: random.Random, table: Table) -> None:
    trial = ground.trial(stage)
    file = trial.home.root / name
    content, mode = file.read_bytes(), file.stat().st_mode
    trial.given_away()
    damage(file, how, chance)
    spoiled = file.read_bytes() if file.is_file() else None
    losses, before = speaks(trial), current(trial)
    end = trial.run(*trial.night, prepare=as_nobody)
    losses += invariants.named(end, "the night") + invariants.untouched(trial) + holds(trial, name)
    now = current(trial)
    if end.code != 0 and now != before:
        losses.append(f"the night ended as {end.name}, and {now} is current where {before} was")
    if end.code == 0 and now != trial.expected and name not in _UNSEALED:
        losses.append(f"the night made {now} current, an undisturbed one makes {trial.expected}")
    if file.parent.is_dir() and (file.read_bytes() if file.is_file() else None) == spoiled:      # nobody wrote it anew: put it back
        file.write_bytes(content)
        file.chmod(mode)
    trial.given_away()
    after, more = invariants.next_start(trial, same=name not in _UNSEALED, prepare=as_nobody)
    if end.code == 0 and name in _UNSEALED:
        more = []                          # it went on with other words or settings, and said so in its record
    losses += more
    table.add(how, place(f"- {name}").removeprefix("- "), end.name, after, losses, f"files {stage} {name} {how}")
    if not losses:
        trial.drop()


def speaks(trial: Trial) -> list[str]:
    """Every command ends by name; and what is served is what it was, or it is refused: never something else."""
    ends, logits = trial.logits(*COMMANDS, prepare=as_nobody)
    losses = [loss for command, end in zip((*COMMANDS, ("verify",)), ends, strict=False)
              for loss in invariants.named(end, f"`{' '.join(command)}`")]
    if len(ends) > len(COMMANDS) and ends[-1].code == 0 and trial.incumbent is not None:
        if not logits:
            losses.append("it verifies, and it is the base that answers")
        elif logits not in trial.ground.logits.values():
            losses.append("it verifies, with logits that no adapter had")
    return losses


def holds(trial: Trial, damaged: str) -> list[str]:
    """Everything that was promoted and was not itself damaged is still whole."""
    if trial.incumbent is None or damaged.startswith("adapters/"):
        return []
    return [f"the incumbent of before is not whole: {one}" for one in manifest.problems(trial.home.adapter(trial.incumbent))]


def current(trial: Trial) -> str | None:
    try:
        return store.incumbent(trial.home)
    except EdgeSleepError:
        return None


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` damages at most: all files of a home before its second night, and the state of two that were cut."""
    tries = []
    for stage in ("one", "stopped", "judged"):
        ground.trial(stage).drop()         # it may have to be made
        root = ground.root / stage
        for file in sorted(root.rglob("*")):
            name = str(file.relative_to(root))
            if file.is_file() and (stage == "one" or "/state/" in name):
                tries += [(stage, name, how) for how in DAMAGES if file.stat().st_size or how in ("gone", "unreadable", "read-only")]
    chance.shuffle(tries)
    for done, (stage, name, how) in enumerate(tries[:number], start=1):
        one(ground, stage, name, how, chance, table)
        yield f"{done} of {min(number, len(tries))}: {name} {how}"
