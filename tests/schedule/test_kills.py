"""kill -9 of the watcher at random instants of its life: each date still has one night, and what it wrote is whole."""
from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_sleep.schedule import book as nights
from edge_sleep.schedule import metabolic
from edge_sleep.system import lock
from edge_sleep.system.home import Home

STANDIN = Path(__file__).parent / "standin.py"
TOP = Path(__file__).parents[2]
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


def start(home: Path, offset: float) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, str(STANDIN), "watch", str(home), str(offset), "schedule.timezone=UTC"],
                            env={**os.environ, "PYTHONPATH": str(TOP)}, stderr=subprocess.DEVNULL)
    _STARTED.append(process)
    return process


def entry(home: Home, offset: float) -> nights.Entry | None:
    of = (datetime.now(timezone.utc) + timedelta(seconds=offset)).date()
    return nights.read(home.rhythm)[0].of(of)


def lines(home: Home, word: str) -> list[str]:
    log = home.root / "log"
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []


def until(what, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def campaign(home: Home, days: int, seed: int) -> Counter[str]:
    """One kill a date, at a random instant after its watcher began to look; with half of them the night is killed too."""
    chance, found = random.Random(seed), Counter[str]()
    for day in range(days):
        offset = offset_to_night(day)
        first = start(home.root, offset)
        until(lambda: (home.root / f"ready-{first.pid}").exists())     # noqa: B023 - called at once
        time.sleep(chance.uniform(0, 0.6))
        before = entry(home, offset)
        first.send_signal(signal.SIGKILL)
        first.wait()
        running = lock.holder(home.night_lock)            # its pid may not be written yet
        found["running" if running is not None else "begun" if before and before.outcome is None else
              "done" if before else "not begun"] += 1
        if running and chance.random() < 0.5:             # a power cut takes both
            os.kill(running["pid"], signal.SIGKILL)
            found["with its night"] += 1
        assert nights.read(home.rhythm)[1] is None                            # whole
        assert not home.metabolic.exists() or json.loads(home.metabolic.read_text())
        second = start(home.root, offset)
        until(lambda: (now := entry(home, offset)) is not None and now.outcome == "promoted")      # noqa: B023
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) in (0, -signal.SIGTERM)                       # told before it had begun to listen
        assert len(lines(home, "promoted")) == day + 1 == len(set(lines(home, "promoted")))
        assert metabolic.read(home).state in (metabolic.State.REST, metabolic.State.WAKE)
    return found


def test_a_few_kills(tmp_path: Path) -> None:
    campaign(Home(tmp_path / "home"), 3, seed=1)


@pytest.mark.long
def test_a_hundred_kills(tmp_path: Path) -> None:
    found = campaign(Home(tmp_path / "home"), 100, seed=2)
    print(dict(found))
    assert min(found[name] for name in ("running", "done", "with its night")) > 5 and found["begun"] + found["not begun"] > 0
