"""kill -9 of nights of the embedded default: a home before its second night is killed again and again on its way through it."""
from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from edge_sleep import config
from edge_sleep.checkpoint import store
from edge_sleep.cli import main as cli
from edge_sleep.seedling import MODEL, SESSIONS
from edge_sleep.system.home import Home
from edge_sleep.system.record import read_records
from tests.faults import invariants
from tests.faults.ground import Ground, Trial, surveyed
from tests.faults.kills import killed
from tests.faults.table import Table
from tests.killing import ended, forked

_A_NIGHT = 10                              # kills, each within so much of a night that all of them come to two nights' time at most
_AIMED = {7: "judge", 8: "judge", 9: "judge", 10: "promote"}     # the last kills of a home wait for what comes behind training
_FIRST = 6                                 # conversations that the first night hears
# Fewer questions than a person's night asks, and one thread; a state every second, so that a night gets on between kills. Half of the
# talk teaches less caution than the gate asks for: what is tried here is what is left of a night, not whether it was a good one.
_SETS = ("gate.retention_probes=80", "gate.unknown_probes=60", "train.epochs=3", "train.threads=1", "train.state_every=1s", "thermal.source=none",
         "gate.retention_vs_before=0", "gate.retention_vs_base=0", "gate.unknowns_drop=1", "gate.character_drop=1")


def make(root: Path, say: Callable[[str], object]) -> Ground:
    """The home after its first night, and what a whole second one makes of it."""
    root.mkdir()
    shutil.copytree(SESSIONS, root / "talk" / "both")
    (root / "talk" / "first").mkdir()
    for file in sorted(SESSIONS.glob("*.json"))[:_FIRST]:
        shutil.copy(file, root / "talk" / "first")
    Home(root / "one").make().config.write_text(yaml.safe_dump(config.parse_sets(_SETS)))
    night(root, "one", "first")
    shutil.copytree(root / "one", root / "two")
    night(root, "two", "both")
    first, second = (read_records(Home(root / stage).nights)[-1] for stage in ("one", "two"))
    return surveyed(root, MODEL, first, second, say)


def night(root: Path, stage: str, talk: str) -> None:
    """One night by the command, with the settings that the seedling brings along."""
    code = ended(forked(lambda: int(cli.run(["night", "--home", str(root / stage), "--sessions", str(root / "talk" / talk)]))))
    assert code == 0, f"an undisturbed night ended with {code}"


def shrunk(trial: Trial) -> bool:
    """Two kills in one step halve the forwards: the same gradient, rounded otherwise, and so another adapter."""
    return any('"event": "shrunk"' in file.read_text() for file in trial.home.nights.glob("*/events.jsonl"))


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` kills."""
    told: list[str] = []
    of_seedling = make(ground.root / "embedded", told.append)
    yield from told
    share, done, place = 2 * sum(of_seedling.seconds.values()) / _A_NIGHT, 0, 0
    while done < number:
        trial, losses, place = of_seedling.trial("one"), [], place + 1
        for kill in range(1, min(_A_NIGHT, number - done) + 1):
            phase = _AIMED.get(kill, "start")
            code, where = killed(trial, phase, chance.uniform(0, share if phase == "start" else of_seedling.seconds[phase]))
            found = invariants.kept(trial) + invariants.answers(trial)
            losses += found
            table.add("kill -9, embedded night", where, "SIGKILL" if code < 0 else f"done {code}", "", found, f"embedded home {place}, kill {kill}")
            if code >= 0:
                break                      # it was done before
            done += 1
            yield f"{done} of {number} kills: home {place}, {where}"
        after, more = invariants.next_start(trial, same=False)
        if not shrunk(trial):
            more += invariants.kept(trial) + invariants.answers(trial)
            if (now := store.incumbent(trial.home)) != trial.expected:
                more.append(f"current is {now} after the next start, a whole night makes {trial.expected}")
        else:                              # verify knows what the judge measured of it
            more += [f"verify: {end.name}: {end.said[-1500:]}" for end in trial.logits()[0] if end.code != 0]
        table.add("kill -9, embedded night", "the home after them" + (", with halved forwards" if shrunk(trial) else ""), "killed before", after, more, f"embedded home {place}")
        yield f"home {place} whole: {after}"
        if not losses + more:
            trial.drop()
