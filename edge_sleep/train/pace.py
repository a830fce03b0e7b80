"""The night's pace: a thread that reads the board and decides, and the rests between micro-batches that carry it out.

The decision is made whether or not the work has come to a boundary; there it holds at once. A source that does not return
holds up the thread, not the night: a decision that grows old counts as lost telemetry.
"""
from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from edge_sleep.device.telemetry.choose import Source
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.replay import line
from edge_sleep.device.thermal_model import Forecast
from edge_sleep.errors import StorageError
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import storage_errors
from edge_sleep.train import governor
from edge_sleep.train.governor import STALE_SECONDS, Action, Ahead, Cause, Decision, Done, Limits, State
from edge_sleep.train.meter import Meter

# Random, so that it cannot fall in step with the micro-batches and see only work, or only rests.
_BETWEEN_READINGS = (0.35, 0.65)
_LOOK_SECONDS = 0.25                                   # how often a rest asks whether somebody wants the device
_RECORD_SECONDS = 2.0
_LONGEST_COOLING = 30.0
_RETELL_SECONDS = 60.0


class Halt(NamedTuple):
    """Why the night must stop for heat or power."""

    cause: Cause
    reason: str


class Pace:
    """Context manager around the night. Without a source it paces nothing."""

    def __init__(self, source: Source | None, limits: Limits, clock: Clock,
                 tell: Callable[..., None] = lambda event, **facts: None, record: Path | None = None,
                 clock_left: Callable[[], float | None] = lambda: None):
        """tell(event, ...): what changed. record: where readings are kept, one a line. clock_left: seconds of the night."""
        self.source, self.limits, self.clock, self.tell, self.record = source, limits, clock, tell, record
        self.clock_left = clock_left
        self.work_left: float | None = None            # seconds of work, as the trainer last said
        self.rests: dict[Cause, float] = {}            # seconds of rest, by what they were for
        self.max_celsius: float | None = None
        self.state = State()
        self.decision = Decision(Action.RUN, 1.0, Cause.NONE, "no reading yet")
        self._reading: Reading | None = None
        self._rest_began: float | None = None          # of the rest that is under way
        self._rest_from = clock.monotonic()            # up to where it is counted
        self._meter = Meter()
        self._counted = (clock.monotonic(), 0.0)       # (time, seconds of rest) of the last decision
        self._worked_from = clock.monotonic()
        self._recorded = self._told = -float("inf")
        self._over: bool = False
        self._fits = True
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Pace:
        if self.source is not None:
            self.observe()
            self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)                     # one that hangs in a sensor's file is left behind: it is a daemon
        if self.source is not None:
            self.source.close()

    @property
    def rested(self) -> float:
        """Seconds of rest so far."""
        return sum(self.rests.values())

    @property
    def duty(self) -> float:
        """Share of the time that may be worked now."""
        return self.decision.duty or governor.LEAST_DUTY

    def begin(self, work_left: float | None = None) -> None:
        """Work that is paced begins now: what was done before (loading) is not rested for."""
        self.work_left, self._worked_from = work_left, self.clock.monotonic()

    def expected(self) -> Forecast | None:
        """What heat leaves of the time ahead; None where nothing is known."""
        with self._changed:
            return governor.expected(self.limits, self.state)

    def observe(self) -> Decision:
        """One reading and the decision it makes."""
        reading = self.source.read() if self.source is not None else None
        with self._changed:
            self._reading = reading
            decision = self._decide()
            self._changed.notify_all()
        self._keep(reading)
        return decision

    def rest(self, give_way: Callable[[], bool] = lambda: False) -> Halt | None:
        """A boundary between two pieces of work: rest as decided. Returns why the night must stop, if it must.

        give_way: whether to return at once, whatever was decided; the caller knows why.
        """
        if self.source is None:
            return None
        with self._at_rest() as began:
            return self._wait(began, began - self._worked_from, give_way)

    def cool_down(self, give_way: Callable[[], bool] = lambda: False) -> None:
        """Before work that cannot rest: wait for room for it, where the board was slowed for heat; half a minute at most."""
        until = self.clock.monotonic() + _LONGEST_COOLING
        with self._at_rest():
            room = governor.room_for_unpaced(self.limits, self.state)
            while room is not None and self._hottest() > room and self.clock.monotonic() < until and not give_way():
                self._rest_for(Cause.HEAT, _LOOK_SECONDS)

    @contextmanager
    def _at_rest(self) -> Iterator[float]:
        """A rest, under the lock: when it began. Work goes on behind it."""
        began = self._rest_from = self.clock.monotonic()
        with self._changed:
            self._rest_began = began
            try:
                yield began
            finally:
                self._worked_from = self.clock.monotonic()
                self._meter.rested(began, self._worked_from)
                self._rest_began = None

    def _rest_for(self, cause: Cause, seconds: float) -> None:
        """Wait for so long, or until there is a new decision; what was waited counts for `cause`."""
        self._changed.wait(seconds)
        now = self.clock.monotonic()
        self.rests[cause] = self.rests.get(cause, 0.0) + now - self._rest_from
        self._rest_from = now

    def _hottest(self) -> float:
        hottest = self._reading.hottest if self._reading is not None else None
        return -float("inf") if hottest is None else hottest[1]

    def _wait(self, began: float, busy: float, give_way: Callable[[], bool]) -> Halt | None:
        while True:
            decision = self._current()
            if decision.action is Action.STOP:
                return Halt(decision.cause, decision.reason)
            paused = decision.action is Action.PAUSE
            left = _LOOK_SECONDS if paused else began + decision.rest_after(busy) - self.clock.monotonic()
            if left <= 0:
                return None
            if give_way():
                return Halt(decision.cause, f"paused to the end: {decision.reason}") if paused else None
            self._rest_for(decision.cause, min(left, _LOOK_SECONDS))

    def _done(self, now: float) -> Done:
        since, rested = self._counted
        resting = self.rested + (now - self._rest_from if self._rest_began is not None else 0.0)
        self._counted = (now, resting)
        share = 1.0 if now <= since else min(1.0, max(0.0, 1 - (resting - rested) / (now - since)))
        if self._reading is None or self._reading.watts is None:
            return Done(share, share)
        self._meter.read(self._reading.at, self._reading.watts, self._rest_began)
        return Done(share, self._meter.seen(self._reading.at, self._rest_began), self._meter.swing)

    def measured(self) -> dict[str, Any]:
        """For the record: seconds, joules, Celsius; None where nothing told them."""
        if self.source is None:
            return {"paused_seconds": None, "energy_joules": None, "max_celsius": None}
        # Up to now, not up to the last reading.
        since = 0.0 if self.state.at is None else min(STALE_SECONDS, max(0.0, self.clock.monotonic() - self.state.at))
        joules = self.state.joules + since * (self.state.watts or 0.0)
        return {"paused_seconds": round(self.rested, 1),
                "rests": {cause.value: round(seconds, 1) for cause, seconds in self.rests.items()},
                "energy_joules": round(joules, 1) if self.state.seen_watts else None,
                "max_celsius": self.max_celsius}

    def _watch(self) -> None:
        chance = random.Random()
        while not self._over:
            self.observe()
            with self._changed:
                self._changed.wait_for(lambda: self._over, chance.uniform(*_BETWEEN_READINGS))

    def _current(self) -> Decision:
        """The last decision; made anew where the thread is late."""
        if self.state.at is not None and self.clock.monotonic() - self.state.at > STALE_SECONDS:
            self._decide()
        return self.decision

    def _decide(self) -> Decision:
        before, now = self.decision, self.clock.monotonic()
        self.decision, self.state = governor.decide(self.limits, self.state, self._reading, now,
                                                    Ahead(self.work_left, self.clock_left()), self._done(now))
        hottest = self._reading.hottest if self._reading is not None else None
        if hottest is not None and (self.max_celsius is None or hottest[1] > self.max_celsius):
            self.max_celsius = hottest[1]
        same = (before.action, before.cause) == (self.decision.action, self.decision.cause)
        if not same or (self.decision.action is not Action.RUN and now - self._told >= _RETELL_SECONDS):
            self._told = now
            self.tell("pace", action=self.decision.action.value, cause=self.decision.cause.value,
                      duty=round(self.decision.duty, 3), reason=self.decision.reason)
        self._foretell()
        return self.decision

    def _foretell(self) -> None:
        """Say once when the work no longer fits at the pace that heat allows, and once when it does again."""
        left, ahead = self.clock_left(), governor.expected(self.limits, self.state)
        if ahead is None or left is None or self.work_left is None:
            return
        needed = ahead.seconds_for(self.work_left)
        # Two per cent of either side: a forecast on the edge would be told again and again.
        fits = needed <= left * (1.02 if self._fits else 0.98)
        if fits != self._fits:
            self._fits = fits
            self.tell("forecast", fits=fits, needed_seconds=round(needed, 1), left_seconds=round(left, 1),
                      duty=round(ahead.duty, 3), reason=f"at {ahead.duty:.0%} of the time, which the ceiling allows")

    def _keep(self, reading: Reading | None) -> None:
        now = self.clock.monotonic()
        if self.record is None or reading is None or now - self._recorded < _RECORD_SECONDS:
            return
        self._recorded = now
        try:
            with storage_errors(self.record), self.record.open("a", encoding="utf-8") as stream:
                stream.write(line(reading))
        except StorageError as error:
            self.record = None                         # minding the heat goes on without its record
            self.tell("telemetry", recorded=False, reason=error.message)


def unpaced(clock: Clock) -> Pace:
    """A pace for a machine without telemetry."""
    return Pace(None, Limits(), clock)
