"""Which adapters stay, and why: a pure function of what there is, after borg's and restic's prune.

Counted are days, weeks and months that made an adapter, not those of the calendar: a month without nights, or
one dated 1970 by a clock that was never set, pushes no other out. One adapter may be the newest of all three.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True)
class Made:
    """What retention knows of an adapter; created is ISO 8601."""

    id: str
    parent: str | None
    created: str


@dataclass(frozen=True)
class Decision:
    adapter: str
    kept: bool
    reason: str


def decide(made: Iterable[Made], *, current: str | None, pinned: Mapping[str, str], daily: int, weekly: int,
           monthly: int) -> list[Decision]:
    """Every adapter with its fate and the reason, newest first.

    pinned: adapters that stay in any case, each with its reason. What a kept one grew from is kept, back to the base.
    """
    by_id = {entry.id: entry for entry in made}
    at = {identity: _when(entry.created) for identity, entry in by_id.items()}
    depth = _depths({identity: entry.parent for identity, entry in by_id.items()})
    # A child is later than its parent, whatever a clock that stood still says.
    newest_first = sorted(by_id, key=lambda one: (at[one] or _NEVER, depth[one], one), reverse=True)
    reasons: dict[str, list[str]] = {}

    def keep(identity: str, reason: str) -> None:
        if identity in by_id:
            reasons.setdefault(identity, []).append(reason)

    if current is not None:
        keep(current, "current")
    for identity, reason in pinned.items():
        keep(identity, reason)
    dated = [(identity, when) for identity in newest_first if (when := at[identity]) is not None]
    for count, period in ((daily, _day), (weekly, _week), (monthly, _month)):
        for label, identity in _newest(dated, period)[:count]:
            keep(identity, f"newest of {label}")
    for identity in newest_first:
        if at[identity] is None:
            keep(identity, "its date cannot be read")
    for identity in list(reasons):
        child, parent = identity, by_id[identity].parent
        while parent is not None and parent in by_id and parent not in reasons:
            keep(parent, f"{child} grew from it")
            child, parent = parent, by_id[parent].parent
    gone = f"not the newest of one of {daily} days, {weekly} weeks, {monthly} months, and nothing that is kept grew from it"
    return [Decision(one, one in reasons, "; ".join(reasons.get(one, [gone]))) for one in newest_first]


_NEVER = datetime.min.replace(tzinfo=timezone.utc)


def _when(created: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(created)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _day(when: datetime) -> str:
    return when.date().isoformat()


def _week(when: datetime) -> str:
    year, week, _ = when.isocalendar()
    return f"week {year:04}-W{week:02}"


def _month(when: datetime) -> str:
    return f"{when.year:04}-{when.month:02}"


def _newest(dated: list[tuple[str, datetime]], period: Callable[[datetime], str]) -> list[tuple[str, str]]:
    """(period, its newest adapter), last period first; `dated` is newest first."""
    found: dict[str, str] = {}
    for identity, when in dated:
        found.setdefault(period(when), identity)
    return sorted(found.items(), reverse=True)


def _depths(parents: Mapping[str, str | None]) -> dict[str, int]:
    """How many adapters lie between each and the base, as far as they are there."""
    depths: dict[str, int] = {}
    for start in parents:
        chain: dict[str, None] = {}
        at: str | None = start
        while at is not None and at in parents and at not in depths and at not in chain:
            chain[at] = None
            at = parents[at]
        below = depths.get(at, 0) if at is not None else 0
        for identity in reversed(chain):
            depths[identity] = below = below + 1
    return depths
