"""The book of nights, state/rhythm.json: what became of each date's night, so that none is doubled and none forgotten.

Wall clocks leap, so the book has a clock of its own, `lived`: seconds since boot, suspends included, added up over boots.
Time between two boots is missing from it, which makes it a lower bound; within one boot it is exact, and what a night began
at is told anew whenever the wall clock was set. Pure, but for `read` and `write`.
"""
from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

from edge_sleep.errors import Exit, IntegrityError, Outcome
from edge_sleep.schedule.circadian import Decision, Windows, nearest_night, night, nights_from
from edge_sleep.system.clock import BUILT_YEAR, Clock
from edge_sleep.system.files import read_json, write_json

FORMAT = 1
MISSED = "missed"
_KEPT = 21                                         # entries
_CAUGHT_UP = 7                                     # dates looked back upon after a long absence
_TRIMMED_SECONDS = 1.0                             # below, a clock was not set
_BESIDE = timedelta(hours=2)                       # a night this close to a window counts for its date: the clock was set since
_DAY = timedelta(days=1)
_ANSWER_SECONDS = 15 * 60.0                        # between two looks for the result of a night that was shipped
# These cost no attempt: a conversation took the device, or another machine works.
_FREE = (Outcome.PREEMPTED.value, Outcome.SHIPPED.value)
# Trying these again the same night would end the same way.
_FINAL = {int(code) for code in (Exit.USAGE, Exit.DOES_NOT_FIT, Exit.MODEL, Exit.INTEGRITY)}


@dataclass(frozen=True)
class Moment:
    """One instant on all clocks: epoch seconds, which boot, seconds since it."""

    wall: float
    boot: str
    since_boot: float

    @classmethod
    def of(cls, clock: Clock) -> Moment:
        return cls(clock.now().timestamp(), clock.boot(), clock.since_boot())


@dataclass(frozen=True)
class Entry:
    """One date's night, or one begun by hand by day (no date). What was never begun has no `attempts`."""

    date: str | None
    begun: float                                   # epoch seconds, of the last attempt, by the clock as it is believed now
    lived: float                                   # the book's clock at that time
    boot: str
    attempts: int = 1
    over: float | None = None                      # the book's clock at its end
    outcome: str | None = None                     # None: begun, and not heard of again
    exit_code: int | None = None
    reason: str = ""
    record: str | None = None                      # the night's id
    stamp: str | None = None                       # when that record was closed


@dataclass(frozen=True)
class Refusal:
    """Why tonight's has not begun yet, as of the last look that mattered."""

    date: str
    names: tuple[str, ...]                         # of the reasons against it
    text: str

    @property
    def nothing(self) -> bool:
        """Whether it had nothing to learn."""
        return "experiences" in self.names


@dataclass(frozen=True)
class Standing:
    """Where tonight's night stands: `over` and `going_on` are what `circadian.Facts` want."""

    over: str | None = None
    going_on: str | None = None
    wait: float = 0.0


@dataclass(frozen=True)
class Book:
    at: Moment | None = None                       # of the last look
    lived: float = 0.0
    opened: str | None = None                      # the first date that can be missed
    entries: tuple[Entry, ...] = ()
    refusal: Refusal | None = None
    told: Mapping[str, str] = field(default_factory=dict)      # kind of alarm: the date it was last told about
    inbox: str | None = None                       # the mark of the transcripts that were read last

    def of(self, on: date) -> Entry | None:
        named = on.isoformat()
        for entry in reversed(self.entries):
            if entry.date == named:
                return entry
        return None

    def look(self, moment: Moment, windows: Windows, zone: tzinfo, doubted: bool = False) -> Book:
        """The book at a moment. Where the wall clock was set since, nights are told anew by it; not while it is doubted."""
        same = self.at is not None and self.at.boot == moment.boot and moment.since_boot >= self.at.since_boot
        lived = self.lived + (moment.since_boot - self.at.since_boot if same and self.at else moment.since_boot)
        book = replace(self, at=moment, lived=lived)
        if doubted:
            return book
        tonight = next(nights_from(windows, zone, _instant(moment.wall))).date.isoformat()
        told_anew = (_told_anew(entry, moment, lived, windows, zone) for entry in self.entries)
        # What was not begun on a date that has not come was written by a clock that ran ahead.
        entries = tuple(entry for entry in told_anew if entry.attempts or entry.date is None or entry.date < tonight)
        refusal = self.refusal if self.refusal is not None and self.refusal.date <= tonight else None
        opened = min(self.opened or tonight, tonight)
        return replace(book, entries=entries, refusal=refusal, opened=opened)

    def since_last(self) -> float | None:
        """Seconds since the last night ended; None where none was."""
        assert self.at is not None
        gaps = [self._gap(entry) for entry in self.entries if entry.attempts and entry.outcome != Outcome.NOTHING_TO_DO.value]
        return min(gaps, default=None)

    def _gap(self, entry: Entry) -> float:
        assert self.at is not None
        ended = entry.lived if entry.over is None else entry.over
        return max(self.lived - ended, self.at.wall - entry.begun - (ended - entry.lived))

    def standing(self, on: date, attempts: int, pause: float) -> Standing:
        """Whether the night of a date is still to begin, may be gone on with (after so many seconds), or is over.

        attempts, pause: how often it is begun where it breaks, and seconds between.
        """
        entry = self.of(on)
        if entry is None or not entry.attempts:
            return Standing()
        if entry.outcome == Outcome.PREEMPTED.value:
            return Standing(going_on="it gave way to a conversation, and is gone on with")
        if entry.outcome == Outcome.SHIPPED.value:
            return Standing(going_on="it was shipped to another machine, and its result is looked for",
                            wait=max(0.0, _ANSWER_SECONDS - self._gap(entry)))
        again = entry.outcome in (None, Outcome.STOPPED_HEAT.value, Outcome.FAILED.value) and entry.exit_code not in _FINAL
        if not again:
            return Standing(over=f"tonight's night was {(entry.outcome or 'begun').replace('_', ' ')}: {entry.reason}")
        if entry.attempts >= attempts:
            told = f"tonight's night was begun {entry.attempts} times, at last it {entry.outcome or 'was killed'}"
            return Standing(over=f"{told}: {entry.reason}" if entry.reason else told)
        # A kill tells nothing about the night; what it left is gone on with at once.
        wait = 0.0 if entry.outcome is None else max(0.0, pause - self._gap(entry))
        return Standing(going_on=f"{entry.outcome or 'killed'} at attempt {entry.attempts}, and is tried again", wait=wait)

    def begin(self, on: date) -> Book:
        """A night of a date is about to begin, or to be gone on with. Giving way to a conversation or shipping was no attempt."""
        assert self.at is not None
        before = self.of(on)
        attempts = 1 if before is None else before.attempts + (before.outcome not in _FREE)
        begun = Entry(on.isoformat(), self.at.wall, self.lived, self.at.boot, attempts,
                      record=None if before is None else before.record, stamp=None if before is None else before.stamp)
        return self._with(begun, before)

    def running(self) -> Entry | None:
        """The one that was begun last and is not known to have ended; the clock may have been set since, and its date with it."""
        return max((entry for entry in self.entries if entry.attempts and entry.outcome is None), key=lambda entry: entry.lived,
                   default=None)

    def end(self, outcome: str, exit_code: int | None, reason: str, record: dict | None = None) -> Book:
        """What became of the running one; `record` is the night's record, where it left one."""
        before = self.running()
        if before is None:
            return self
        told = {} if record is None else {"record": record["night"], "stamp": record["ended"]}
        return self._with(replace(before, over=self.lived, outcome=outcome, exit_code=exit_code, reason=reason, **told), before)

    def take_back(self, before: Entry | None) -> Book:
        """The running one did not begin after all: another had the lock. before: its date's entry until then."""
        running = self.running()
        entries = tuple(entry for entry in self.entries if entry is not running)
        return replace(self, entries=entries if before is None else (*entries, before))

    def note(self, record: dict, windows: Windows, zone: tzinfo) -> Book:
        """A night's record that was closed without this book's knowing: begun by hand, or its watcher was killed."""
        assert self.at is not None
        known = any((entry.record, entry.stamp) == (record["night"], record["ended"]) for entry in self.entries)
        if known or record["ended"] is None:
            return self
        began, ended = (datetime.fromisoformat(record[key]).timestamp() for key in ("started", "ended"))
        # Its own clock may have been wrong; that it is over now is sure.
        ended = min(ended, self.at.wall) if _instant(ended).year >= BUILT_YEAR else self.at.wall
        began = min(began, ended) if _instant(began).year >= BUILT_YEAR else ended
        mine = next((entry for entry in self.entries if entry.record == record["night"]), None)
        on = None if mine is None else mine.date
        if mine is None:
            either = (nearest_night(windows, zone, _instant(at), _BESIDE) for at in (ended, began))
            near = next(filter(None, either), None)
            mine, on = (None, None) if near is None else (self.of(near.date), near.date.isoformat())
            if mine is not None and mine.attempts and mine.outcome is not None:
                mine, on = None, None              # that date has had its own: this one was by hand, and only keeps its distance
        if mine is None and record["outcome"] == Outcome.NOTHING_TO_DO.value:
            return self
        attempts = mine.attempts if mine is not None and mine.attempts else 1
        # What is known of is its end: that is what it stands for.
        return self._with(Entry(on, ended, self.lived, "", attempts, self.lived, record["outcome"], record["exit_code"],
                                record["reason"], record["night"], record["ended"]), mine)

    def refuse(self, on: date, decision: Decision) -> Book:
        """Keep why tonight's has not begun; the minutes before dawn, when it is only too late, tell nothing."""
        names = tuple(reason.name for reason in decision.against)
        known = self.refusal is not None and (self.refusal.date, self.refusal.names) == (on.isoformat(), names)
        if known or set(names) & {"phase", "time", "once"}:
            return self
        return replace(self, refusal=Refusal(on.isoformat(), names, str(decision)))

    def close(self, windows: Windows, zone: tzinfo) -> Book:
        """Name what became of the dates whose window has passed without a night."""
        assert self.at is not None
        now = _instant(self.at.wall)
        coming = next(nights_from(windows, zone, now)).date
        passed = []
        for on in (coming - days * _DAY for days in range(1, _CAUGHT_UP + 1)):
            if self.opened is None or on.isoformat() < self.opened or self.of(on) is not None:
                break                              # what lies before was closed when this was
            passed.append(on)
        book = self
        for window in (night(windows, zone, on) for on in reversed(passed)):
            if window.begins == window.ends:
                continue
            named = window.date.isoformat()
            refusal = self.refusal if self.refusal is not None and self.refusal.date == named else None
            outcome = Outcome.NOTHING_TO_DO.value if refusal is not None and refusal.nothing else MISSED
            reason = refusal.text if refusal is not None else "nobody looked: the board was off or asleep, or no watcher ran"
            book = book._with(Entry(named, window.begins.timestamp(), book.lived, "", 0, None, outcome, None, reason), None)
        return book

    def dated(self) -> list[Entry]:
        """The entries of dates, oldest first."""
        return sorted((entry for entry in self.entries if entry.date is not None), key=lambda entry: entry.date or "")

    def _with(self, entry: Entry, instead_of: Entry | None) -> Book:
        others = [other for other in self.entries if other is not instead_of]
        return replace(self, entries=tuple([*others, entry][-_KEPT:]))


def _instant(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, timezone.utc)


def _told_anew(entry: Entry, moment: Moment, lived: float, windows: Windows, zone: tzinfo) -> Entry:
    """When an entry began by the clock of this moment, and the date that makes it; both change only where that clock was set."""
    if not entry.attempts:
        return entry
    latest = moment.wall - (lived - entry.lived)
    begun = latest if entry.boot == moment.boot else min(entry.begun, latest)
    if abs(begun - entry.begun) < _TRIMMED_SECONDS:
        return entry
    near = nearest_night(windows, zone, _instant(begun), _BESIDE)
    return replace(entry, begun=begun, date=None if near is None else near.date.isoformat())


def doubt(moment: Moment, synchronised: bool | None, settle: float) -> str | None:
    """Why the wall clock is not to be believed; None where it is.

    synchronised: as the kernel says. settle: seconds after a boot in which a time server may still set it.
    """
    shown = _instant(moment.wall)
    if shown.year < BUILT_YEAR:
        return f"the clock says {shown:%Y-%m-%d}, which is before this was built"
    if synchronised is False and moment.since_boot < settle:
        return f"booted {moment.since_boot / 60:.0f} min ago, and no time server has set the clock; it is given {settle / 60:.0f}"
    return None


def read(file: Path) -> tuple[Book, str | None]:
    """The book, and what was wrong with the file where it begins anew."""
    try:
        document: dict[str, Any] = read_json(file, "book of nights")
        at, refusal = document["at"], document["refusal"]
        refused = None if refusal is None else Refusal(refusal["date"], tuple(refusal["names"]), refusal["text"])
        return Book(None if at is None else Moment(**at), float(document["lived"]), document["opened"],
                    tuple(Entry(**entry) for entry in document["entries"]), refused, dict(document["told"]),
                    document.get("inbox")), None
    except FileNotFoundError:
        return Book(), None
    except (IntegrityError, LookupError, TypeError, ValueError) as error:
        return Book(), f"{file} is begun anew: {error}"


def write(file: Path, book: Book) -> None:
    """Raises StorageError."""
    with suppress(FileNotFoundError):              # a home that was moved away while it was watched
        write_json(file, {"format": FORMAT, **asdict(book), "told": dict(book.told)})
