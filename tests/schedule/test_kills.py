"""kill -9 of the watcher at random instants of its life: each date still has one night, what it wrote is whole, and the service
that the night stopped runs again."""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_sleep.schedule import book as nights
from edge_sleep.schedule import metabolic
from edge_sleep.system import intent, lock
from edge_sleep.system.home import Home
from edge_sleep.system.intent import Change
from edge_sleep.system.record import read_records
from tests import micro
from tests.fake_systemd import Units

STANDIN = Path(__file__).parent / "standin.py"
TOP = Path(__file__).parents[2]
DONE = ("promoted", "no_effect", "rejected")               # a model of random weights does not learn something every night
KILLS = int(os.environ.get("EDGE_SLEEP_KILLS", "100"))
_STARTED: list[subprocess.Popen] = []


def offset_to_night(day: int) -> float:
    """Seconds from now to 23:00 UTC, so many days ahead."""
    now = datetime.now(timezone.utc)
    return (now.replace(hour=23, minute=0, second=0) - now + timedelta(days=day)).total_seconds()


@pytest.fixture(autouse=True)
def started():
    """Every watcher that a test starts, ended with it."""
    yield
    while _STARTED:
        _STARTED.pop().kill()


def start(home: Path, offset: float, environment: dict[str, str]) -> subprocess.Popen:
    with open(home.parent / "watchers.log", "a") as told:
        process = subprocess.Popen([sys.executable, str(STANDIN), "watch", str(home), str(offset), "schedule.timezone=UTC"],
                                   env={**os.environ, "PYTHONPATH": str(TOP), **environment}, stderr=told)
    _STARTED.append(process)
    return process


def entry(home: Home, offset: float) -> nights.Entry | None:
    of = (datetime.now(timezone.utc) + timedelta(seconds=offset)).date()
    return nights.read(home.rhythm)[0].of(of)


def until(what, seconds: float = 900.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


@pytest.fixture
def units(tmp_path: Path):
    """A machine on which llm.service runs."""
    made = Units(tmp_path / "units")
    made.make("llm.service")
    yield made
    made.end()


def campaign(home: Home, units: Units, days: int, seed: int, seconds: float, environment: dict[str, str],
             begin: Callable[[int], object] = lambda day: None) -> Counter[str]:
    """One kill a date, at a random instant in so many seconds after its watcher began to look; with half of them the night is
    killed too. begin: called with each date's number before it."""
    chance, found = random.Random(seed), Counter[str]()
    environment |= units.on_path(home.root.parent / "bin")
    for day in range(days):
        begin(day)
        offset = offset_to_night(day)
        first = start(home.root, offset, environment)
        until(lambda: (home.root / f"ready-{first.pid}").exists())     # noqa: B023 - called at once
        time.sleep(chance.uniform(0, seconds))
        before = entry(home, offset)
        first.send_signal(signal.SIGKILL)
        first.wait()
        running = lock.holder(home.night_lock)            # its pid may not be written yet
        found["running" if running is not None else "begun" if before and before.outcome is None else
              "done" if before else "not begun"] += 1
        if running and "pid" in running and chance.random() < 0.5:     # a power cut takes both
            with suppress(ProcessLookupError):
                os.kill(running["pid"], signal.SIGKILL)
            found["with its night"] += 1
            found["service down"] += units.pid("llm.service") is None
        assert nights.read(home.rhythm)[1] is None                            # whole
        assert not home.metabolic.exists() or json.loads(home.metabolic.read_text())
        second = start(home.root, offset, environment)
        until(lambda: (now := entry(home, offset)) is not None and now.outcome in DONE)      # noqa: B023
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) in (0, -signal.SIGTERM)                       # told before it had begun to listen
        assert sum(record["outcome"] in DONE for record in read_records(home.nights)) == day + 1     # each date one night
        assert metabolic.read(home).state in (metabolic.State.REST, metabolic.State.WAKE)
        assert units.pid("llm.service") is not None and not home.neighbours_intent.exists()
    assert units.history("llm.service") == ["stop", "start"] * (len(units.history("llm.service")) // 2)
    return found


def test_a_few_kills(tmp_path: Path, units: Units) -> None:
    campaign(Home(tmp_path / "home"), units, 3, seed=1, seconds=1.5, environment={})


def test_a_watcher_brings_back_what_a_killed_night_stopped(tmp_path: Path, units: Units) -> None:
    """By day, too: nobody waits for the next night."""
    home = Home(tmp_path / "home").make()
    intent.write(home.neighbours_intent, [Change("llm.service", "systemctl", "active", "inactive")])
    units.stop("llm.service")
    start(home.root, offset_to_night(0) + 12 * 3600, units.on_path(tmp_path / "bin"))
    until(lambda: units.pid("llm.service") is not None and not home.neighbours_intent.exists(), 30)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_hundred_kills(tmp_path: Path, units: Units) -> None:
    found = campaign(Home(tmp_path / "home"), units, KILLS, seed=KILLS, seconds=1.5, environment={})
    print(dict(found))
    assert min(found[name] for name in ("running", "done", "with its night", "service down")) > KILLS // 20
    assert found["begun"] + found["not begun"] > 0


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_hundred_kills_of_the_micro_night(tmp_path: Path, units: Units) -> None:
    """The same with real nights: each date has a talk of its own, and its night trains, judges and promotes."""
    model, talk = micro.make_model(tmp_path / "model"), tmp_path / "talk"

    def begin(day: int) -> None:
        micro.write_talk(talk, [(f"What was in box {day}{name}?", f"In box {day}{name} lay the {day + number} blue stones.")
                                for number, name in enumerate("abcd")], day + 1)

    home = Home(tmp_path / "home")
    found = campaign(home, units, KILLS, KILLS, 12.0, {"STANDIN_MICRO": f"{model} {talk}", "OMP_NUM_THREADS": "1"}, begin)
    print(dict(found), "adapters", len(list(home.adapters.iterdir())))
    assert KILLS < 50 or found["service down"]            # how many depends on how busy the machine is
