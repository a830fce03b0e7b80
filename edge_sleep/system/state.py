"""state/metabolic.json: what the companion is doing, for whoever wants to know, in any language.

WAKE: nothing is going on. FOCUS: a conversation has the device. REST: it is dark, and nothing is going on. DREAM: a night
trains or judges, the memory is taken. CRISIS: heat, memory or integrity ended a night or holds it up.

The file is replaced whole. What a killed process left in it is corrected by the locks, which die with their process.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from edge_sleep.errors import IntegrityError, Outcome, StorageError
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1
_DREAMT = ("train", "judge", "promote")                          # the phases of a night that take the memory
_HOT = ("heat", "throttled", "telemetry_lost")                   # causes of a pause; what cannot be read counts as hot
_TROUBLE = {Outcome.STOPPED_HEAT: "heat", Outcome.DOES_NOT_FIT: "memory", Outcome.INTEGRITY: "integrity"}


class State(str, Enum):
    WAKE = "WAKE"
    FOCUS = "FOCUS"
    REST = "REST"
    DREAM = "DREAM"
    CRISIS = "CRISIS"


class Event(str, Enum):
    """What makes one state another."""

    SESSION_BEGINS = "session_begins"
    SESSION_ENDS = "session_ends"
    DARK = "dark"
    LIGHT = "light"
    NIGHT_BEGINS = "night_begins"
    NIGHT_ENDS = "night_ends"
    TROUBLE = "trouble"
    CLEAR = "clear"


# A conversation goes first: a night that begins beside one gives way, and stays DREAM until its memory is free. Out of a
# crisis leads what clears it, or a night that gets past it.
_TABLE = """
           session_begins session_ends dark   light  night_begins night_ends trouble clear
WAKE       FOCUS          WAKE         REST   WAKE   DREAM        WAKE       CRISIS  WAKE
FOCUS      FOCUS          WAKE         FOCUS  FOCUS  FOCUS        FOCUS      CRISIS  FOCUS
REST       FOCUS          REST         REST   WAKE   DREAM        REST       CRISIS  REST
DREAM      DREAM          DREAM        DREAM  DREAM  DREAM        WAKE       CRISIS  DREAM
CRISIS     CRISIS         CRISIS       CRISIS CRISIS DREAM        CRISIS     CRISIS  WAKE
"""


def _read_table(text: str) -> dict[tuple[State, Event], State]:
    events, *rows = [line.split() for line in text.strip().splitlines()]
    return {(State(row[0]), Event(event)): State(after) for row in rows for event, after in zip(events, row[1:], strict=True)}


TRANSITIONS = _read_table(_TABLE)
_NEWS = (Event.NIGHT_BEGINS, Event.TROUBLE)                      # they tell something new where the state stays, too


@dataclass(frozen=True)
class Metabolic:
    """What the file says, corrected by the locks."""

    state: State = State.WAKE
    since: str | None = None           # ISO 8601; None where nothing was ever published
    reason: str = "nothing was published yet"
    cause: str | None = None           # of a crisis: heat, memory, integrity
    by: str | None = None
    pid: int | None = None

    def since_time(self) -> datetime | None:
        return None if self.since is None else datetime.fromisoformat(self.since)

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "state": self.state.value, "since": self.since, "reason": self.reason, "cause": self.cause,
                "by": self.by, "pid": self.pid}


def published(home: Home) -> Metabolic:
    """What was published last, as it stands: DREAM without a night, FOCUS without a conversation are over."""
    said = _said(home)
    if said.state is State.DREAM and not lock.is_held(home.night_lock):
        return Metabolic(State.WAKE, said.since, "the night that published DREAM is gone")
    if said.state is State.FOCUS and not lock.is_held(home.session_lock):
        return Metabolic(State.WAKE, said.since, "the conversation is over")
    return said


def _said(home: Home) -> Metabolic:
    try:
        document = read_json(home.metabolic, "metabolic state")
        return Metabolic(State(document["state"]), document["since"], document["reason"], document["cause"], document["by"],
                         document["pid"])
    except FileNotFoundError:
        return Metabolic()
    except (IntegrityError, LookupError, TypeError, ValueError):
        return Metabolic(reason="metabolic.json cannot be read; it is written anew with the next change")


def publish(home: Home, event: Event, reason: str, by: str, clock: Clock, cause: str | None = None,
            pid: int | None = None) -> Metabolic:
    """Take the step that `event` makes from what is published, and write where that says something new.

    pid: the process that is in it; None is this one. Raises StorageError where the home cannot be written.
    """
    said, before = _said(home), published(home)
    after = TRANSITIONS[before.state, event]
    same = before == said and after is said.state and said.since is not None
    if same and (event not in _NEWS or after not in (State.DREAM, State.CRISIS) or reason == said.reason):
        return said
    now = Metabolic(after, said.since if same else clock.stamp(), reason,
                    (cause or said.cause) if after is State.CRISIS else None, by, pid or os.getpid())
    write_json(home.metabolic, now.as_json())
    return now


def telling(home: Home, night: str, clock: Clock, onward: Callable[[dict], None] | None = None) -> Callable[[dict], None]:
    """A listener for the events of a night that publishes its state; each event then goes `onward`."""
    told = _OfNight(home, f"night {night}", clock)

    def listen(entry: dict) -> None:
        with suppress(StorageError):               # the night says by itself that the disk is full
            told.hear(entry)
        if onward is not None:
            onward(entry)

    return listen


class _OfNight:
    """A night's events as steps of the table. The pace tells from a thread of its own."""

    def __init__(self, home: Home, by: str, clock: Clock):
        self._home, self._by, self._clock = home, by, clock
        self._turn = threading.Lock()
        self._dreams = self._held_up = False

    def hear(self, entry: dict) -> None:
        with self._turn:
            kind = entry["event"]
            if kind == "phase" and entry["state"] == "begin" and entry["name"] in _DREAMT:
                self._dreams = True
                self._step(Event.NIGHT_BEGINS, entry["name"])
            elif kind == "pace" and self._dreams:
                self._pace(entry)
            elif kind == "night" and entry["state"] == "end":
                self._end(entry)

    def _pace(self, entry: dict) -> None:
        hot = entry["action"] in ("pause", "stop") and entry["cause"] in _HOT
        if hot:
            self._step(Event.TROUBLE, entry["reason"], "heat")
        elif self._held_up:
            self._step(Event.NIGHT_BEGINS, "train")
        self._held_up = hot

    def _end(self, entry: dict) -> None:
        cause = _TROUBLE.get(Outcome(entry["outcome"]))
        if cause is not None:
            self._step(Event.TROUBLE, entry["reason"], cause)
        elif self._dreams:
            if self._held_up:
                self._step(Event.CLEAR, f"{entry['outcome']}: {entry['reason']}")
            self._step(Event.NIGHT_ENDS, f"{entry['outcome']}: {entry['reason']}")

    def _step(self, event: Event, reason: str, cause: str | None = None) -> None:
        publish(self._home, event, reason, self._by, self._clock, cause)
