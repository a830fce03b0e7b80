"""One look at clock, book and machine: may tonight's night begin, and why not. Pure; the watcher and `status` both ask here."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone, tzinfo

from edge_sleep.config import Config
from edge_sleep.schedule import book as nights
from edge_sleep.schedule.book import Book, Moment
from edge_sleep.schedule.circadian import (
    Decision,
    Facts,
    Night,
    Phase,
    Rules,
    Windows,
    nights_from,
    phase_at,
    should_train,
    zone_of,
)


@dataclass(frozen=True)
class Settings:
    """The `schedule` section as values."""

    windows: Windows = Windows()
    zone: tzinfo = timezone.utc
    rules: Rules = Rules()
    attempts: int = 3
    pause: float = 3600.0              # seconds
    settle: float = 600.0              # seconds

    @classmethod
    def of(cls, config: Config) -> Settings:
        schedule = config.schedule
        return cls(Windows.of(schedule), zone_of(schedule.timezone), Rules.of(schedule, config.data.min_new), schedule.attempts,
                   schedule.pause, schedule.settle)


@dataclass(frozen=True)
class Machine:
    """What the machine and the home say at this moment; None: nobody knows."""

    new: int | None = None             # experiences that no night has learned
    running: str | None = None         # who holds the night lock
    session: str | None = None         # who holds the session lock
    load: float | None = None          # processes per core
    free: int | None = None            # bytes
    power: str | None = None           # mains, battery
    synchronised: bool | None = None   # the wall clock, with a time server


@dataclass(frozen=True)
class Look:
    """What one look found."""

    book: Book
    decision: Decision
    phase: Phase
    tonight: Night | None              # the window that lasts now
    coming: Night                      # the one that lasts now, or the next
    doubt: str | None = None
    facts: Facts = field(default=Facts(Phase.DAY), repr=False)

    @property
    def left(self) -> float:
        """Seconds until tonight's window ends."""
        return self.facts.left

    def next_begin(self, settings: Settings) -> datetime | None:
        """The earliest instant at which the clock lets a night begin; None while it is doubted."""
        if self.doubt is not None or self.book.at is None:
            return None
        now = datetime.fromtimestamp(self.book.at.wall, timezone.utc)
        earliest = now + timedelta(seconds=self.facts.wait)
        if self.facts.going_on is None and self.facts.since_last is not None:
            earliest = max(earliest, now + timedelta(seconds=settings.rules.apart - self.facts.since_last))
        # Windows without end; the configuration refuses a `least` that none of them has.
        windows = ((window, max(window.begins, earliest)) for window in nights_from(settings.windows, settings.zone, now))
        return next(begins for window, begins in windows if not (window == self.tonight and self.facts.over is not None)
                    and begins + timedelta(seconds=settings.rules.least) <= window.ends)


def consider(book: Book, moment: Moment, settings: Settings, machine: Machine) -> Look:
    """The look at a moment: the book brought up to it, and the decision with every reason."""
    windows, zone = settings.windows, settings.zone
    doubt = nights.doubt(moment, machine.synchronised, settings.settle)
    book = book.look(moment, windows, zone, doubt is not None)
    if doubt is None:
        book = book.close(windows, zone)
    now = datetime.fromtimestamp(moment.wall, timezone.utc)
    coming = next(nights_from(windows, zone, now))
    tonight = coming if now in coming else None
    standing = nights.Standing() if tonight is None else book.standing(tonight.date, settings.attempts, settings.pause)
    facts = Facts(phase_at(windows, zone, now), 0.0 if tonight is None else (tonight.ends - now).total_seconds(), machine.new,
                  book.since_last(), doubt, standing.over, standing.going_on, standing.wait, machine.running, machine.session,
                  machine.load, machine.free, machine.power)
    decision = should_train(facts, settings.rules)
    if tonight is not None and not decision and doubt is None:
        book = book.refuse(tonight.date, decision)
    return Look(book, decision, facts.phase, tonight, coming, doubt, facts)


def begun(look: Look) -> Book:
    """The book with tonight's night begun."""
    assert look.tonight is not None and look.decision
    return replace(look.book.begin(look.tonight.date), refusal=None)
