"""Who works on a job: leases are numbered, the highest counts, and it lives by its beats. Pure.

Wall clocks of different machines are never compared: a beat is as old as it has been known to whoever looks, by his own clock.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Seen:
    """What a look at one job in the mailbox found."""

    closed: str | None = None                      # answered, taken back, ended: nobody needs to work on it
    lease: int = 0                                 # the highest number; 0: none
    holder: str | None = None                      # the machine that signed it; None: nobody whom the job names
    beat: int = 0                                  # how often that lease is known to have beaten
    given_back: bool = False


@dataclass(frozen=True)
class Watch:
    """What was known of the newest lease, and since when (seconds, monotonic)."""

    lease: int
    beat: int
    since: float


class Act(str, Enum):
    TAKE = "take"
    WAIT = "wait"
    LEAVE = "leave"


@dataclass(frozen=True)
class Step:
    act: Act
    reason: str
    number: int = 0                                # the lease to publish (TAKE)
    seconds: float = 0.0                           # until it is worth another look (WAIT)
    watch: Watch | None = None                     # to be handed in at the next look


def look(seen: Seen, watch: Watch | None, now: float, lease_seconds: float, me: str) -> Step:
    """Whether a machine that works on nothing may take the job.

    me: its id. A lease of its own that it does not work on was left by an earlier life of it, and is taken over at once.
    """
    if seen.closed is not None:
        return Step(Act.LEAVE, seen.closed)
    if not seen.lease:
        return Step(Act.TAKE, "nobody has it", 1)
    following = seen.lease + 1
    if seen.holder is None:
        return Step(Act.TAKE, f"lease {seen.lease} is signed by nobody whom the job names", following)
    if seen.given_back:
        return Step(Act.TAKE, f"{seen.holder} gave it back", following)
    if seen.holder == me:
        return Step(Act.TAKE, "an earlier run of this worker had it", following)
    if watch is None or watch.lease != seen.lease or watch.beat < seen.beat:
        watch = Watch(seen.lease, seen.beat, now)
    silent = now - watch.since
    if silent >= lease_seconds:
        return Step(Act.TAKE, f"{seen.holder} has been silent for {silent:.0f} s", following, watch=watch)
    return Step(Act.WAIT, f"{seen.holder} works on it", seconds=lease_seconds - silent, watch=watch)


def lost(seen: Seen, mine: int) -> str | None:
    """Why the holder of lease `mine` must stop working on it; None: it still has it."""
    if seen.closed is not None:
        return seen.closed
    if seen.lease > mine and seen.holder is not None:
        return f"{seen.holder} took it over with lease {seen.lease}"
    return None
