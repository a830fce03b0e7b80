"""The phases of the day on the real clock, and when a night may begin: pure, with every reason.

A window is a span between two instants, found in the zone's rules for each date: a gap or a repeated hour can neither
hide a night nor make it two. A night has the date of the evening on which its window began.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from enum import Enum
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_sleep.config import Schedule
from edge_sleep.errors import ConfigError

LOCALTIME = Path("/etc/localtime")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Phase(str, Enum):
    DAWN = "dawn"
    DAY = "day"
    DUSK = "dusk"
    NIGHT = "night"
    DEEP_NIGHT = "deep_night"

    @property
    def dark(self) -> bool:
        """Whether a night may begin in it."""
        return self in (Phase.NIGHT, Phase.DEEP_NIGHT)


@dataclass(frozen=True)
class Windows:
    """At which local time each phase begins. In order around the day; `config.Schedule` refuses anything else."""

    dawn: time = time(6)
    day: time = time(8)
    dusk: time = time(20)
    night: time = time(22)
    deep_night: time = time(1)

    @classmethod
    def of(cls, schedule: Schedule) -> Windows:
        return cls(schedule.dawn, schedule.day, schedule.dusk, schedule.night, schedule.deep_night)


@dataclass(frozen=True)
class Night:
    """The window of one date, as instants (UTC)."""

    date: date
    begins: datetime
    deepens: datetime
    ends: datetime

    def __contains__(self, at: datetime) -> bool:
        return self.begins <= at < self.ends

    def away(self, at: datetime) -> timedelta:
        """How far an instant lies from it; zero inside."""
        return max(self.begins - at, at - self.ends, timedelta(0))


@lru_cache(maxsize=512)
def night(windows: Windows, zone: tzinfo, of: date) -> Night:
    """The window that begins on a date. Empty (begins == ends) where a clock change swallows it."""
    def instant(at: time) -> datetime:
        return first_instant(datetime.combine(of if at >= windows.night else of + _DAY, at), zone)

    return Night(of, instant(windows.night), instant(windows.deep_night), instant(windows.dawn))


def first_instant(local: datetime, zone: tzinfo) -> datetime:
    """The first instant (UTC) at which clocks in `zone` show `local` (naive) or later.

    Of a repeated hour it is the first pass; of an hour that is left out, the instant of the change.
    """
    either = [local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1)]
    early, late = min(either), max(either)
    if _shown(early, zone) == local:
        return early
    # Left out: `early` shows what comes before the gap, `late` what comes after it.
    while late - early > _SECOND:
        middle = early + (late - early) / 2
        early, late = (early, middle) if _shown(middle, zone) >= local else (middle, late)
    return late.replace(microsecond=0)


def _shown(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def nights_from(windows: Windows, zone: tzinfo, at: datetime) -> Iterator[Night]:
    """Nights in order, the first being the one that lasts at `at`, or the next."""
    of = at.astimezone(zone).date() - _DAY
    while True:
        found = night(windows, zone, of)
        if found.ends > at and found.ends > found.begins:
            yield found
        of += _DAY


def night_at(windows: Windows, zone: tzinfo, at: datetime) -> Night | None:
    """The night in whose window an instant lies."""
    found = next(nights_from(windows, zone, at))
    return found if at in found else None


def nearest_night(windows: Windows, zone: tzinfo, at: datetime, within: timedelta) -> Night | None:
    """The night an instant lies in, or nearest to; None where all are further than `within`."""
    local = at.astimezone(zone).date()
    found = min((night(windows, zone, local + days * _DAY) for days in (-1, 0, 1)), key=lambda one: one.away(at))
    return found if found.away(at) <= within else None


def phase_at(windows: Windows, zone: tzinfo, at: datetime) -> Phase:
    """The phase at an instant (aware)."""
    if (found := night_at(windows, zone, at)) is not None:
        return Phase.DEEP_NIGHT if at >= found.deepens else Phase.NIGHT
    shown = at.astimezone(zone).time()
    begun = {Phase.DAWN: windows.dawn, Phase.DAY: windows.day, Phase.DUSK: windows.dusk}
    earlier = [phase for phase in begun if begun[phase] <= shown]
    return max(earlier or begun, key=lambda phase: begun[phase])


@lru_cache(maxsize=8)
def _zone_from(file: Path, _: float) -> tzinfo:
    with open(file, "rb") as stream:
        return ZoneInfo.from_file(stream)


def zone_of(name: str, localtime: Path = LOCALTIME) -> tzinfo:
    """The time zone by its IANA name; empty: TZ, else /etc/localtime, else UTC. Raises ConfigError for an unknown one."""
    asked = name or os.environ.get("TZ", "").removeprefix(":")
    if asked:
        try:
            return ZoneInfo(asked)
        except (LookupError, ValueError, OSError) as error:
            if name:
                raise ConfigError([f"schedule.timezone: {name!r} is not a zone that this machine knows ({error}); names look "
                                   "like Europe/Berlin; where there are none, install tzdata"]) from error
    try:
        return _zone_from(localtime, localtime.stat().st_mtime)
    except (OSError, ValueError):
        return timezone.utc


@dataclass(frozen=True)
class Rules:
    """What a night asks of the hour, the data and the machine; seconds, bytes, processes per core."""

    min_new: int = 10
    apart: float = 6 * 3600.0
    least: float = 15 * 60.0
    idle_load: float = 0.5
    free_bytes: int = 2 << 30
    on_battery: bool = False

    @classmethod
    def of(cls, schedule: Schedule, min_new: int) -> Rules:
        return cls(min_new, schedule.apart, schedule.least, schedule.idle_load, schedule.free_bytes, schedule.on_battery)


@dataclass(frozen=True)
class Facts:
    """What `should_train` looks at; None: nobody knows, which refuses nothing but the count of experiences."""

    phase: Phase
    left: float = 0.0                  # seconds until dawn, in the dark phases
    new: int | None = None             # experiences that no night has learned
    since_last: float | None = None    # seconds since the last night ended; None: there was none
    doubt: str | None = None           # why the wall clock is not to be believed
    over: str | None = None            # why tonight's night is over already
    going_on: str | None = None        # why it is begun, and to be gone on with: then it needs no experiences and no distance
    wait: float = 0.0                  # seconds until it may be tried again
    running: str | None = None         # who holds the night lock
    session: str | None = None         # who holds the session lock
    load: float | None = None          # processes per core
    free: int | None = None            # bytes
    power: str | None = None           # mains, battery


@dataclass(frozen=True)
class Reason:
    name: str
    holds: bool
    text: str


@dataclass(frozen=True)
class Decision:
    yes: bool
    reasons: tuple[Reason, ...]        # all of them, those that hold too

    @property
    def against(self) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if not reason.holds)

    def __bool__(self) -> bool:
        return self.yes

    def __str__(self) -> str:
        return "; ".join(reason.text for reason in (self.reasons if self.yes else self.against))


def should_train(facts: Facts, rules: Rules) -> Decision:
    """Whether a night may begin now, and every reason for and against."""
    found = tuple(_reasons(facts, rules))
    return Decision(all(reason.holds for reason in found), found)


def _reasons(facts: Facts, rules: Rules) -> Iterator[Reason]:
    yield Reason("clock", facts.doubt is None, facts.doubt or "the clock is believed")
    yield Reason("phase", facts.phase.dark, f"it is {facts.phase.value.replace('_', ' ')}")
    if facts.phase.dark:
        yield Reason("time", facts.left >= rules.least,
                     f"{facts.left / 60:.0f} min until dawn, a night needs {rules.least / 60:.0f}")
    yield Reason("once", facts.over is None, facts.over or facts.going_on or "tonight has had none")
    if facts.wait > 0:
        yield Reason("pause", False, f"it is tried again in {facts.wait / 60:.0f} min")
    if facts.going_on is None:
        enough = facts.new is not None and facts.new >= rules.min_new
        counted = "new experiences are counted at night only" if facts.new is None else f"{facts.new} new experiences"
        yield Reason("experiences", enough, f"{counted}, a night is worth it from {rules.min_new} on")
        if facts.since_last is not None:
            yield Reason("apart", facts.since_last >= rules.apart,
                         f"{facts.since_last / 3600:.1f} h since the last night, at least {rules.apart / 3600:g}")
        else:
            yield Reason("apart", True, "there was no night before")
    yield Reason("night", facts.running is None, facts.running or "no night is running")
    yield Reason("session", facts.session is None, facts.session or "no conversation is open")
    if facts.load is not None:
        yield Reason("idle", facts.load <= rules.idle_load, f"{facts.load:.2f} processes a core, idle up to {rules.idle_load:g}")
    if facts.free is not None:
        yield Reason("disk", facts.free >= rules.free_bytes,
                     f"{facts.free / 2**30:.1f} GiB of disk free, at least {rules.free_bytes / 2**30:.1f}")
    if facts.power is not None:
        yield Reason("power", rules.on_battery or facts.power != "battery", f"on {facts.power}")
