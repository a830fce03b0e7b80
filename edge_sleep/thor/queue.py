"""Whose job is next: fair among companions, and among equals by the hour at which each one's morning begins. Pure.

A companion's jobs stand one behind the other. Its first is in the round of the jobs that were already begun for it within the
window, the next in the round after that; rounds are done in order, and within a round the earliest morning first. So one with
thirty jobs gets one a round while others wait, and all of it where nobody else does. A morning that a companion says wrongly wins
it a place within the round, and no other round.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edge_sleep.thor import ledger

WINDOW_SECONDS = 12 * 3600.0                       # what was begun for a companion before that counts no more
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Waiting:
    """A job that can be taken. home: the companion's machine; morning: when one of its mornings begins, None: it says none."""

    job: str
    home: str
    morning: datetime | None = None


@dataclass(frozen=True)
class Begun:
    """A job that was given the machine: of whom, and how long ago."""

    job: str
    home: str
    seconds_ago: float


@dataclass(frozen=True)
class Turn:
    """A waiting job with its place. until_morning: seconds, None where no morning is known."""

    job: str
    home: str
    round: int
    until_morning: float | None

    @property
    def reason(self) -> str:
        when = "it says no morning" if self.until_morning is None else f"{self.until_morning / 3600:.1f} h until its morning"
        return f"round {self.round} of its companion, {when}"


def begun(records: Iterable[Mapping[str, Any]], now: datetime) -> list[Begun]:
    """What a worker's ledger remembers; a job that was sent back was not done, and counts for nobody."""
    return [Begun(one["job"], one["home"], (now - datetime.fromisoformat(one["taken"])).total_seconds())
            for one in records if one.get("taken") and one["home"] is not None and one["state"] != ledger.DECLINED]


def until(morning: datetime | None, now: datetime) -> float | None:
    """Seconds until that morning, or the same hour of the first day after it that is still to come."""
    if morning is None:
        return None
    left = morning - now
    return (left % _DAY if left < timedelta(0) else left).total_seconds()


def order(waiting: Sequence[Waiting], begun: Iterable[Begun], now: datetime,
          window_seconds: float = WINDOW_SECONDS) -> list[Turn]:
    """All that wait, the next first. A job that was begun before, and given back or lost, does not count against itself."""
    names = {one.job for one in waiting}
    recent = [one for one in begun if one.seconds_ago <= window_seconds]
    rounds = Counter(one.home for one in recent if one.job not in names)
    again = {one.job for one in recent}
    lines: dict[str, list[tuple[bool, float, str, float | None]]] = {}
    for one in waiting:
        left = until(one.morning, now)
        # What was begun before comes before its companion's others: some of it is done.
        lines.setdefault(one.home, []).append((one.job not in again, _rank(left), one.job, left))
    turns = [Turn(job, home, rounds[home] + place, left)
             for home, line in lines.items() for place, (_, _, job, left) in enumerate(sorted(line, key=lambda entry: entry[:3]))]
    return sorted(turns, key=lambda turn: (turn.round, _rank(turn.until_morning), turn.job))


def _rank(until_morning: float | None) -> float:
    """Without a morning: behind those that say one, within the round."""
    return float("inf") if until_morning is None else until_morning
