"""Ten simulated years in three zones: one night a date where conditions hold, none outside the window, none doubled."""
from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from edge_sleep.schedule import circadian
from edge_sleep.schedule.circadian import Windows
from edge_sleep.schedule.rhythm import Settings
from tests.schedule.world import DAY, HOUR, MINUTE, Board, true_night, years

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
END = datetime(2036, 1, 1, tzinfo=timezone.utc).timestamp()             # the leap days of 2028 and 2032 lie between
LARGEST_LEAP = 4 * MINUTE


class Disturbances:
    """What befalls the board; remembers when it was not there to look, and when its clock was wrong."""

    def __init__(self) -> None:
        self.away: list[tuple[float, float]] = []
        self.counted: Counter[str] = Counter()

    def __call__(self, board: Board, chance: random.Random) -> None:
        if chance.random() > 0.06:
            return
        name = chance.choice(["leap", "leap", "leap back", "suspend", "battery", "stale", "kill", "reboot"])
        self.counted[name] += 1
        began = board.true
        if name == "leap":
            board.step(chance.uniform(-LARGEST_LEAP, LARGEST_LEAP))
        elif name == "leap back":
            board.step(0.0)
        elif name == "suspend":
            board.true += chance.choice([10 * MINUTE, 3 * HOUR, 9 * HOUR, 2 * DAY, 5 * DAY]) * chance.uniform(0.5, 1.5)
        elif name == "battery":                                         # boots in 1970, and leaps when the network is up
            board.reboot(chance.uniform(1 * MINUTE, 2 * DAY), shows=chance.uniform(0, 1000), sync_after=chance.uniform(20, 8 * MINUTE))
        elif name == "stale":                                           # boots at the time it was turned off at
            board.reboot(chance.uniform(1 * MINUTE, 3 * DAY), shows=began + board.error, sync_after=chance.uniform(20, 8 * MINUTE))
        elif name == "kill":
            board.kill_watcher()
        else:
            board.reboot(chance.uniform(20, 10 * MINUTE))
        if name in ("battery", "stale", "reboot"):
            board.true += chance.uniform(1, 60)                         # the watcher looks before any time server has answered
            board.tick()
        if name in ("suspend", "battery", "stale", "reboot"):
            self.away.append((began, (board.sync_at or board.true) + 1))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_one_night_a_date(zone: str) -> None:
    chance = random.Random(zone)
    idle_days = {int(BEGIN // DAY) + day for day in range(3700) if chance.random() < 0.15}
    board = Board(Settings(Windows(), ZoneInfo(zone)), BEGIN, booted=BEGIN, works=lambda true: int(true // DAY) not in idle_days)
    befell = Disturbances()
    years(board, END, chance, befell)
    assert min(befell.counted[name] for name in ("leap", "leap back", "suspend", "battery", "stale", "kill", "reboot")) > 100

    dates: Counter[str] = Counter()
    for run in board.runs:
        window = true_night(board, run.true, LARGEST_LEAP)
        assert window is not None, "outside the window by more than the clock was wrong"
        dates[window.date.isoformat()] += 1
        assert run.first
    assert max(dates.values()) == 1                                      # none doubled
    assert all(later.true - run.true >= 6 * HOUR for run, later in zip(board.runs, board.runs[1:], strict=False))
    begun = set(dates)
    expected = missing = 0
    for window in _nights(board):
        if _could(window, befell, idle_days):
            expected += 1
            missing += window.date.isoformat() not in begun
    assert expected > 1500 and missing == 0                               # exactly one
    assert "2028-02-29" not in {window.date.isoformat() for window in _nights(board) if window.date.isoformat() not in begun
                                and _could(window, befell, idle_days)}


def _nights(board: Board) -> list[circadian.Night]:
    found, of = [], datetime.fromtimestamp(BEGIN, timezone.utc).date()
    while of < datetime.fromtimestamp(END, timezone.utc).date() - timedelta(days=1):
        found.append(circadian.night(board.settings.windows, board.settings.zone, of))
        of += timedelta(days=1)
    return found


def _could(window: circadian.Night, befell: Disturbances, idle_days: set[int]) -> bool:
    """Whether an hour of the night was left in which the board looked with a right clock and had something to learn."""
    begins, ends = window.begins.timestamp() + LARGEST_LEAP, window.ends.timestamp() - 15 * MINUTE - LARGEST_LEAP
    away = [span for span in befell.away if span[1] > begins and span[0] < ends]
    good = 0.0
    minute = begins
    while minute < ends:
        if int(minute // DAY) not in idle_days and not any(since <= minute <= until for since, until in away):
            good += 5 * MINUTE
            if good >= HOUR:
                return True
        else:
            good = 0.0
        minute += 5 * MINUTE
    return False
