"""What must be said out loud: a missed night, nights that fail, a week of nothing to do. How is the user's choice."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge_sleep.config import Schedule
from edge_sleep.errors import Outcome
from edge_sleep.schedule.book import MISSED, Book, Entry

MISSED_NIGHT, FAILED_NIGHTS, IDLE_NIGHTS, FAILED_UNIT = "missed_night", "failed_nights", "idle_nights", "failed_unit"
NOT_PUT_BACK = "not_put_back"                               # a neighbour, or a power setting
_WEBHOOK_SECONDS, _COMMAND_SECONDS = 10.0, 30.0
_AGAIN_SECONDS, _LONGEST_AGAIN = 600.0, 6 * 3600.0          # after what could not be told; doubled each time
_SCHEMES = ("http://", "https://")
_BROKEN = (Outcome.FAILED.value, Outcome.DOES_NOT_FIT.value, Outcome.INTEGRITY.value)


@dataclass(frozen=True)
class Alarm:
    kind: str
    date: str                          # of the last night it is about
    text: str


@dataclass(frozen=True)
class Voice:
    """Where alarms go besides the log and `status`."""

    webhook: str = ""
    command: str = ""
    failed: int = 3                    # nights in a row
    idle: int = 7

    @classmethod
    def of(cls, schedule: Schedule) -> Voice:
        return cls(schedule.webhook, schedule.command, schedule.failed_nights, schedule.idle_nights)

    @property
    def channels(self) -> tuple[str, ...]:
        return ("log", *(name for name in ("webhook", "command") if getattr(self, name)))


def standing(book: Book, voice: Voice) -> list[Alarm]:
    """What is wrong now, told or not: for `status`."""
    return _alarms(book.dated(), voice)


def due(book: Book, voice: Voice, channel: str) -> list[Alarm]:
    """What a channel is still to be told. A streak that goes on is told again when it has grown by its length."""
    found = []
    for kind in (MISSED_NIGHT, FAILED_NIGHTS, IDLE_NIGHTS):
        since = book.told.get(f"{kind} {channel}", "")
        found += [alarm for alarm in _alarms([entry for entry in book.dated() if (entry.date or "") > since], voice)
                  if alarm.kind == kind]
    return found


def told(book: Book, alarm: Alarm, channel: str) -> Book:
    return replace(book, told={**book.told, f"{alarm.kind} {channel}": alarm.date})


def _alarms(entries: Sequence[Entry], voice: Voice) -> list[Alarm]:
    if not entries:
        return []
    last, found = entries[-1], []
    date = last.date or ""
    if last.outcome == MISSED:
        found.append(Alarm(MISSED_NIGHT, date, f"the night of {date} was missed: {last.reason}"))
    nights = [entry for entry in entries if entry.attempts]
    if (failed := broken(entries)) >= voice.failed:
        found.append(Alarm(FAILED_NIGHTS, nights[-1].date or "", f"{failed} nights in a row failed, the last one "
                           f"({nights[-1].date}): {nights[-1].reason}"))
    if (nothing := idle(entries)) >= voice.idle:
        found.append(Alarm(IDLE_NIGHTS, date, f"{nothing} nights in a row had nothing to do: {last.reason}"))
    return found


def broken(entries: Iterable[Entry]) -> int:
    """How many of the last nights in a row broke; dates without one are passed over."""
    count = 0
    for entry in reversed([entry for entry in entries if entry.attempts]):
        if entry.outcome is not None and entry.outcome not in _BROKEN:
            break
        count += entry.outcome is not None
    return count


def idle(entries: Iterable[Entry]) -> int:
    """How many of the last dates in a row had nothing to do."""
    count = 0
    for entry in reversed(list(entries)):
        if entry.outcome != Outcome.NOTHING_TO_DO.value:
            break
        count += 1
    return count


def tell(alarm: Alarm, channel: str, voice: Voice, home: Path) -> str | None:
    """Tell one channel; why it did not work, or None. Only what the alarm says leaves the machine, never a conversation."""
    if channel == "webhook":
        return _post(voice.webhook, {"edge_sleep": 1, "home": home.name, **asdict(alarm)})
    if channel == "command":
        return _run(voice.command, alarm, home)
    return None


def once_a_day(book: Book, alarm: Alarm, voice: Voice, home: Path) -> tuple[Book, list[str], list[str]]:
    """Tell the channels besides the log what comes again and again: (the book with that noted, who was told, problems)."""
    heard: list[str] = []
    problems: list[str] = []
    for channel in voice.channels[1:]:
        if book.told.get(f"{alarm.kind} {channel}") == alarm.date:
            continue
        if (why := tell(alarm, channel, voice, home)) is None:
            book = told(book, alarm, channel)
            heard.append(channel)
        else:
            problems.append(why)
    return book, heard, problems


def _post(url: str, document: dict[str, Any]) -> str | None:
    if not url.startswith(_SCHEMES):
        return f"{url} is no http address"
    import urllib.request
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_WEBHOOK_SECONDS):
            return None
    except (OSError, ValueError) as error:
        return f"the webhook does not answer: {error}"


def _run(command: str, alarm: Alarm, home: Path) -> str | None:
    environment = {**os.environ, "EDGE_SLEEP_ALARM": alarm.kind, "EDGE_SLEEP_HOME": str(home)}
    try:
        done = subprocess.run(command, shell=True, input=alarm.text + "\n", text=True, env=environment, stdout=subprocess.DEVNULL,
                              timeout=_COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"schedule.command does not end well: {error}"
    return None if done.returncode == 0 else f"schedule.command ended with {done.returncode}"


class Teller:
    """Tells what is due, and again later what could not be told."""

    def __init__(self, home: Path, say: Callable[[str], None]):
        self._home, self._say = home, say
        self._at, self._pause = 0.0, _AGAIN_SECONDS

    def look(self, book: Book, voice: Voice, since_boot: float) -> Book:
        """The book with what was told noted. since_boot: seconds, of the clock that no setting moves."""
        if since_boot < self._at:
            return book
        failed = False
        for channel in voice.channels:
            for alarm in due(book, voice, channel):
                if channel == "log":
                    self._say(f"warning: {alarm.text}")
                if (why := tell(alarm, channel, voice, self._home)) is None:
                    book = told(book, alarm, channel)
                else:
                    failed = True
                    self._say(f"warning: could not be told ({why}): {alarm.text}")
        self._at = since_boot + self._pause if failed else 0.0
        self._pause = min(2 * self._pause, _LONGEST_AGAIN) if failed else _AGAIN_SECONDS
        return book
