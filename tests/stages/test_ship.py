"""What `plan` says of another machine, before a night has begun."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.seal.keys import Keys
from edge_sleep.stages import learn
from edge_sleep.system.home import Home
from edge_sleep.train.planner import Fit, Plan

FITS = Plan("cpu", Fit(512, False, 8), 600 << 20, 100.0, 60.0, measured=True)
NONE = Plan("none", Fit(32, True, 1), 9 << 40, 100.0, 60.0)
MAILBOX = "thor.mailbox=folder:/nowhere"


@pytest.mark.parametrize("plan, sets, paired, where, lines", [
    (FITS, (), False, "cpu", {}), (NONE, (), True, "none", {}),
    (FITS, (MAILBOX,), True, "cpu", {"ship.memory": "stay", "ship.time": "stay", "ship.mailbox": "open"}),
    (FITS, (MAILBOX, "budget.time=1m"), True, "remote", {"ship.time": "ship", "ship.mailbox": "open"}),
    (FITS, (MAILBOX, "thor.ship=always"), True, "remote", {"ship.asked": "ship"}),
    (NONE, (MAILBOX,), True, "remote", {"ship.memory": "ship", "ship.mailbox": "open"}),
    (NONE, (MAILBOX,), False, "none", {"ship.memory": "ship", "ship.mailbox": "closed"}),
    (NONE, (MAILBOX, "thor.ship=never"), True, "none", {"ship.mailbox": "closed"})])
def test_plan_says_where_and_why(tmp_path: Path, plan: Plan, sets: tuple[str, ...], paired: bool, where: str,
                                 lines: dict[str, str]) -> None:
    home = Home(tmp_path / "edge").make()
    if paired:
        Keys.open(home.keys).add(Keys.open(tmp_path / "thor").own)
    found, choices = learn._elsewhere(home, config.load(None, sets), plan)
    assert found == where
    assert lines.items() <= {choice["name"]: choice["value"] for choice in choices}.items() and bool(choices) == bool(lines)
    assert paired or not home.keys.exists()                # a plan writes nothing
