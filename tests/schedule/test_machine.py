"""What the machine says: power supplies as the kernel shows them, load, locks, and what waits to be learned."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.schedule import machine
from edge_sleep.system import lock
from edge_sleep.system.home import Home
from tests import micro

MAINS, OFF = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}
FULL, DRAINS = {"type": "Battery", "status": "Full"}, {"type": "Battery", "status": "Discharging"}


@pytest.mark.parametrize("supplies, source", [
    ([], None), ([MAINS], "mains"), ([OFF], None), ([MAINS, DRAINS], "mains"), ([OFF, DRAINS], "battery"), ([FULL], "mains"),
    ([{"type": "USB_PD", "online": "1"}, DRAINS], "mains"), ([{**DRAINS, "scope": "Device"}], None),
    ([{**DRAINS, "present": "0"}], None), ([{"type": "UPS", "online": "1"}], "mains"), ([{}], None),
    ([FULL, DRAINS], "battery")])
def test_power(tmp_path: Path, supplies: list[dict], source: str | None) -> None:
    for number, supply in enumerate(supplies):
        (tmp_path / f"supply{number}").mkdir()
        for name, value in supply.items():
            (tmp_path / f"supply{number}" / name).write_text(f"{value}\n")
    assert machine.power_source(tmp_path) == source


def test_a_machine_that_shows_no_supplies(tmp_path: Path) -> None:
    assert machine.power_source(tmp_path / "none") is None


def test_who_has_the_device(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    quiet = machine.observed(home, config.load(None))
    assert (quiet.running, quiet.session, quiet.new) == (None, None, 0) and quiet.free is not None
    with lock.hold(home.night_lock, "a night"), lock.hold(home.session_lock, "a talk"):
        busy = machine.observed(home, config.load(None), count=False)
    assert busy.running is not None and "a night (pid" in busy.running and "a talk (pid" in (busy.session or "") and busy.new is None


def test_conversations_that_are_held_out_are_not_new_for_ever(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    settings = config.load(None, ["data.min_new=4", "data.held_out=0.5"])
    assert machine.new_experiences(home, settings) == 0
    for number in range(20):
        micro.write_talk(tmp_path / "talk", [(f"What of thing {number}, the {word}?", f"The {word} number {number} is kept in the harbour.")
                                             for word in ("rope", "lamp")], number)
    with Buffer(home.experiences) as buffer:
        ingest([tmp_path / "talk"], buffer, companion=settings.companion, quality=settings.quality, salience=settings.salience)
        untrained = buffer.counts()["untrained"]
    assert 4 <= machine.new_experiences(home, settings) < untrained
    assert machine.new_experiences(home, config.load(None, ["data.min_new=4", "data.held_out=0"])) == untrained
