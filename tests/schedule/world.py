"""A board in simulated years: true time goes on; what its clocks show is another matter. The code under test is the real one."""
from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from edge_sleep.schedule import circadian
from edge_sleep.schedule.book import Book, Moment
from edge_sleep.schedule.rhythm import Machine, Settings, begun, consider

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass
class Run:
    """One attempt, in true time and as the board's own clock showed it."""

    true: float
    shown: float
    first: bool                        # a new night, not one gone on with


@dataclass
class Board:
    settings: Settings
    true: float                        # epoch seconds
    error: float = 0.0                 # what the wall clock shows beyond the truth
    synchronised: bool = True
    boots: int = 1
    booted: float = 0.0                # true time
    book: Book = field(default_factory=Book)
    saved: Book = field(default_factory=Book)
    saved_at: float = 0.0
    runs: list[Run] = field(default_factory=list)
    sync_at: float | None = None       # true time at which a time server sets the clock
    works: Callable[[float], bool] = lambda true: True           # whether conditions hold: experiences, idle, power
    night_seconds: float = 40 * MINUTE
    outcome: Callable[[], str] = lambda: "promoted"

    def moment(self) -> Moment:
        return Moment(self.true + self.error, f"boot {self.boots}", self.true - self.booted)

    def tick(self) -> None:
        """One look of the watcher, and the night where it says so."""
        if self.sync_at is not None and self.true >= self.sync_at:
            self.error, self.synchronised, self.sync_at = 0.0, True, None
        machine = Machine(new=20 if self.works(self.true) else 0, synchronised=self.synchronised)
        look = consider(self.book, self.moment(), self.settings, machine)
        self.book = look.book
        if look.decision:
            assert look.tonight is not None
            self.runs.append(Run(self.true, self.true + self.error, look.facts.going_on is None))
            self.book = begun(look)
            self._save()
            self.true += self.night_seconds
            after = consider(self.book, self.moment(), self.settings, Machine(running="the night"))
            self.book = after.book.end(self.outcome(), 0, "simulated")
            self._save()
        elif self.true - self.saved_at > 10 * MINUTE:
            self._save()

    def _save(self) -> None:
        self.saved, self.saved_at = self.book, self.true

    def kill_watcher(self) -> None:
        """What was not saved is lost."""
        self.book = self.saved

    def reboot(self, off: float, shows: float | None = None, sync_after: float | None = None) -> None:
        """Power off for so long. shows: what the clock reads then (epoch; None: it kept time). sync_after: seconds of uptime
        until a time server sets it; None: at once, and it was right."""
        self.kill_watcher()
        self.true += off
        self.boots, self.booted = self.boots + 1, self.true
        self.error = 0.0 if shows is None else shows - self.true
        self.synchronised = sync_after is None
        self.sync_at = None if sync_after is None else self.true + sync_after

    def step(self, error: float) -> None:
        """A time server, right or wrong, sets the clock."""
        self.error = error


def local(board: Board, at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc).astimezone(board.settings.zone)


def true_night(board: Board, at: float, slack: float = 0.0):
    """The night in which a true instant lies, or is nearest to within so many seconds."""
    instant = datetime.fromtimestamp(at, timezone.utc)
    return circadian.nearest_night(board.settings.windows, board.settings.zone, instant, timedelta(seconds=slack))


def years(board: Board, end: float, chance: random.Random, disturb: Callable[[Board, random.Random], None]) -> None:
    """Look often at night and seldom by day, with something happening now and then, until `end`."""
    while board.true < end:
        board.tick()
        disturb(board, chance)
        near = true_night(board, board.true, 0.5 * HOUR)
        if near is None or (board.runs and near.begins.timestamp() - HOUR <= board.runs[-1].true):
            now = datetime.fromtimestamp(board.true, timezone.utc)
            ahead = circadian.nights_from(board.settings.windows, board.settings.zone, now)
            coming = next(night for night in ahead if night.begins > now).begins.timestamp()
            board.true = min(board.true + chance.uniform(1, 6) * HOUR, coming + chance.uniform(-25, 25) * MINUTE)
        else:
            board.true += chance.uniform(10, 45) * MINUTE
