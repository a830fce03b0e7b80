"""How fast a night may go: a reading and a budget in, run, slow, pause or stop out, with the reason. Pure.

Work is done in micro-batches with rests between them. Their share of the time, the duty, follows a PI law on the hottest zone's
temperature below the ceiling, and one on watts below a cap; the smaller of the two holds. Above the ceiling the night pauses
until the release temperature. What cannot be read counts as hot.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.thermal_model import DIE_SHARE, Forecast, forecast

# Found on simulated boards (benchmarks/twin.py; LOG.md has what else was tried) with sensors a second late and micro-batches of
# .3 to 6 s. A band of 8 degrees below the target; the integral follows the sink, which takes minutes.
_PER_KELVIN = 0.12
_PER_KELVIN_SECOND = 0.004
_FALL_PER_SECOND = 0.1                 # kelvin: the ripple's peak is what is held, and it is forgotten this slowly
_RIPPLE_SECONDS = 120.0
_PER_RIPPLE = 0.15                     # of it lies above what a sensor a second late shows
TARGET_BELOW_CEILING = 0.5             # kelvin
PAUSE_ABOVE_CEILING = 1.0              # kelvin
_WATTS_SECONDS = 10.0                  # over which watts are averaged against a cap
_PER_SHARE_SECOND = 0.1                # duty per second and share of the cap that is left or exceeded
_SLOPE_SECONDS = 45.0                  # over which the slope is smoothed: above a die's time, below a sink's
_BEFORE_A_FORECAST = 90.0              # seconds of work
_LONGEST_TICK = 5.0                    # seconds; what lies further apart is not integrated
LEAST_DUTY = 0.1
STALE_SECONDS = 3.0


class Action(str, Enum):
    RUN = "run"
    SLOW = "slow"
    PAUSE = "pause"
    STOP = "stop"


class Cause(str, Enum):
    """What a decision is made for; the names of the record."""

    NONE = "none"
    HEAT = "heat"
    THROTTLED = "throttled"            # by the kernel
    POWER = "power"
    ENERGY = "energy"
    LOST = "telemetry_lost"


@dataclass(frozen=True)
class Limits:
    """What holds tonight; None does not hold. Celsius, watts, joules, seconds."""

    ceiling: float | None = None
    release: float | None = None       # a pause for heat ends below; 5 below the ceiling where it is not given
    cap_watts: float | None = None
    energy_joules: float | None = None
    longest_pause: float = 900.0

    @property
    def minded(self) -> bool:
        """Whether anything holds; where nothing does, nothing can be lost."""
        return not (self.ceiling is None and self.cap_watts is None and self.energy_joules is None)

    @property
    def released(self) -> float:
        return self.release if self.release is not None else (self.ceiling or math.inf) - 5.0


@dataclass(frozen=True)
class Ahead:
    """What is left of the night: seconds of work at full duty, and of the clock; None where nobody knows."""

    work_seconds: float | None = None
    clock_seconds: float | None = None


@dataclass(frozen=True)
class Done:
    """What was done, as train/meter.py tells it."""

    share: float = 1.0                 # of the time since the last decision that was worked
    seen: float = 1.0                  # of work, in what the reading met
    swing: float = 0.0                 # watts between rest and work


UNKNOWN, ALL_WORK = Ahead(), Done()


@dataclass(frozen=True)
class Decision:
    action: Action
    duty: float                        # share of the time to work, in [LEAST_DUTY, 1]; 0 in a pause
    cause: Cause
    reason: str

    def rest_after(self, busy_seconds: float) -> float:
        """Seconds to rest after so much work."""
        return busy_seconds * (1 / self.duty - 1) if self.action in (Action.RUN, Action.SLOW) else 0.0


@dataclass(frozen=True)
class State:
    """What one decision hands to the next."""

    at: float | None = None            # of the last decision
    heat: float = LEAST_DUTY           # the integrals of both laws, in duty
    power: float = 1.0
    peak: float = -math.inf            # Celsius, of the ripple that micro-batches make
    ripple: float = 0.0                # kelvin that it falls below its peak between them
    smooth: float | None = None        # Celsius
    slope: float = 0.0                 # kelvin per second
    rest: float | None = None          # Celsius, before the work began
    worked: float = 0.0                # seconds since then
    duty: float = 1.0                  # smoothed like the slope
    watts: float | None = None
    mean_watts: float | None = None
    joules: float = 0.0
    seen_watts: bool = False
    seen_tj: bool = False
    paused: Cause | None = None
    paused_at: float = 0.0


def decide(limits: Limits, state: State, reading: Reading | None, now: float, ahead: Ahead = UNKNOWN,
           done: Done = ALL_WORK) -> tuple[Decision, State]:
    """The decision at `now` (seconds, the clock of reading.at) and what to hand to the next one."""
    seconds = 0.0 if state.at is None else max(0.0, now - state.at)
    state = replace(state, at=now)
    if (lost := _lost(state, reading, now)) is not None:
        if not limits.minded:
            return Decision(Action.RUN, 1.0, Cause.NONE, f"nothing is limited; {lost}"), replace(state, watts=None)
        return _paused(limits, replace(state, watts=None), Cause.LOST, lost, now)
    assert reading is not None
    state = _observe_power(_observe_heat(state, reading, seconds), reading.watts, seconds, done)
    return _judge(limits, state, reading, seconds, now, ahead)


def expected(limits: Limits, state: State) -> Forecast | None:
    """What the heat seen so far says of the time ahead; None before there is enough of it, or where no ceiling holds."""
    if limits.ceiling is None or state.smooth is None or state.rest is None or state.worked < _BEFORE_A_FORECAST:
        return None
    return forecast(state.smooth, state.slope, state.rest, state.duty, limits.ceiling - TARGET_BELOW_CEILING)


def room_for_unpaced(limits: Limits, state: State) -> float | None:
    """The temperature below which work that cannot rest (loading, saving, judging's first forward) may begin; None: any.

    At the present duty the die lies below where full work would hold it, by its share of the rise that is missing.
    """
    ahead = expected(limits, state)
    if ahead is None or limits.ceiling is None or state.rest is None:
        return None
    return limits.ceiling - TARGET_BELOW_CEILING - DIE_SHARE * (ahead.full_celsius - state.rest) * (1 - state.duty)


def _lost(state: State, reading: Reading | None, now: float) -> str | None:
    """What of heat and power cannot be known; None where all that was known still is."""
    if reading is None:
        return "no reading yet"
    if now - reading.at > STALE_SECONDS:
        return f"stale: the last reading is {now - reading.at:.1f} s old"
    for item in reading.lost:
        # A zone alone is covered by tj, the hottest of them all.
        if item.kind in ("telemetry", "rail") or (item.kind == "zone" and (item.name == "tj" or "tj" not in reading.zones)):
            return str(item)
    if not reading.zones:
        return "no thermal zone answers"
    if state.seen_tj and "tj" not in reading.zones:
        return "zone tj: no longer answers"
    if state.seen_watts and reading.watts is None:
        return "rail: the board's power can no longer be read"
    return None


def _observe_heat(state: State, reading: Reading, seconds: float) -> State:
    hot = max(reading.zones.values())
    tick = min(seconds, _LONGEST_TICK)
    share = -math.expm1(-tick / _SLOPE_SECONDS)
    smooth = hot if state.smooth is None else state.smooth + (hot - state.smooth) * share
    slope = state.slope
    if state.smooth is not None and tick:
        slope += ((smooth - state.smooth) / tick - slope) * share
    peak = max(hot, state.peak - _FALL_PER_SECOND * tick)
    ripple = state.ripple if state.paused else max(peak - hot, state.ripple * math.exp(-tick / _RIPPLE_SECONDS))
    return replace(state, peak=peak, ripple=ripple, smooth=smooth, slope=slope,
                   rest=hot if state.rest is None else min(state.rest, hot), seen_tj=state.seen_tj or "tj" in reading.zones)


def _observe_power(state: State, watts: float | None, seconds: float, done: Done) -> State:
    """What a reading saw too much or too little of is made up for: two readings a second of a duty cycle of half a second would
    be off by their chance alone, 2 % in five minutes.
    """
    if watts is None:
        return replace(state, watts=None)
    average = watts + (done.share - done.seen) * done.swing
    mean = state.mean_watts
    mean = average if mean is None else mean + (average - mean) * -math.expm1(-min(seconds, _LONGEST_TICK) / _WATTS_SECONDS)
    # Behind lost telemetry too: what was drawn unseen is counted as what is drawn now.
    return replace(state, watts=watts, mean_watts=mean, joules=state.joules + seconds * average if state.seen_watts else 0.0,
                   seen_watts=True)


def _judge(limits: Limits, state: State, reading: Reading, seconds: float, now: float, ahead: Ahead) -> tuple[Decision, State]:
    zone, hot = max(reading.zones.items(), key=lambda item: item[1])
    if limits.energy_joules is not None and state.joules >= limits.energy_joules:
        return Decision(Action.STOP, 0.0, Cause.ENERGY, f"the energy budget is used: {state.joules:.0f} of "
                        f"{limits.energy_joules:.0f} J"), state
    tick = min(seconds, _LONGEST_TICK)
    if state.paused is not None and hot < limits.released:
        state = replace(state, peak=hot)       # what it met before the pause is over
    heat, state = _by_heat(limits, state, tick)            # in a pause too: it was run into with too high a duty
    if reading.throttling and limits.minded:
        return _paused(limits, state, Cause.THROTTLED, f"the kernel throttles {', '.join(reading.throttling)}", now)
    if limits.ceiling is not None:
        too_hot = hot > limits.ceiling + PAUSE_ABOVE_CEILING
        # One micro-batch must not carry it over the ceiling again.
        released = min(limits.released, limits.ceiling - state.ripple)
        if too_hot or (state.paused is Cause.HEAT and hot > released):
            return _paused(limits, state, Cause.HEAT, f"{zone} is at {hot:.1f} degrees, the ceiling is {limits.ceiling:g}; "
                           f"goes on below {released:.3g}", now)
    cap, why = _cap(limits, state, ahead)
    power, state = _by_power(cap, state, tick)
    duty = min(heat, power)
    share = -math.expm1(-tick / _SLOPE_SECONDS)
    working = ahead.work_seconds is not None
    state = replace(state, paused=None, duty=state.duty + (duty - state.duty) * share,
                    worked=state.worked + tick if working else state.worked)
    if duty >= 0.995:
        return Decision(Action.RUN, 1.0, Cause.NONE, f"{zone} is at {hot:.1f} degrees"), state
    if heat <= power:
        return Decision(Action.SLOW, duty, Cause.HEAT,
                        f"{zone} is at {hot:.1f} degrees, the ceiling is {limits.ceiling:g}"), state
    cause = Cause.POWER if cap == limits.cap_watts else Cause.ENERGY
    return Decision(Action.SLOW, duty, cause, f"{state.mean_watts or 0:.1f} W, {why}"), state


def _by_heat(limits: Limits, state: State, tick: float) -> tuple[float, State]:
    if limits.ceiling is None:
        return 1.0, state
    off = limits.ceiling - TARGET_BELOW_CEILING - _PER_RIPPLE * state.ripple - state.peak
    wanted = _PER_KELVIN * off + state.heat
    duty = min(1.0, max(LEAST_DUTY, wanted))
    # Anti-windup: the integral moves only where that changes what is done. On a cool board it stays low, so that the
    # proportional band alone meets the ceiling for the first time.
    frozen = (wanted > 1.0 and off > 0) or (wanted < LEAST_DUTY and off < 0)
    integral = state.heat if frozen else min(1.0, max(0.0, state.heat + _PER_KELVIN_SECOND * off * tick))
    return duty, replace(state, heat=integral)


def _cap(limits: Limits, state: State, ahead: Ahead) -> tuple[float | None, str]:
    """(watts that may be drawn on average from now on, why). Energy binds only where the work left would overrun it."""
    cap, why = limits.cap_watts, f"the cap is {limits.cap_watts or 0:g} W"
    if limits.energy_joules is None or not ahead.clock_seconds or ahead.clock_seconds <= 0:
        return cap, why
    left = limits.energy_joules - state.joules
    work = ahead.clock_seconds if ahead.work_seconds is None else min(ahead.work_seconds, ahead.clock_seconds)
    if state.mean_watts is None or state.mean_watts * work <= left:
        return cap, why
    spread = left / ahead.clock_seconds
    if cap is not None and cap <= spread:
        return cap, why
    return spread, f"{left:.0f} J are left for {ahead.clock_seconds:.0f} s"


def _by_power(cap: float | None, state: State, tick: float) -> tuple[float, State]:
    if cap is None or state.mean_watts is None:
        return 1.0, replace(state, power=1.0)
    off = (cap - state.mean_watts) / max(cap, 1e-9)
    integral = min(1.0, max(LEAST_DUTY, state.power + _PER_SHARE_SECOND * off * tick))
    return integral, replace(state, power=integral)


def _paused(limits: Limits, state: State, cause: Cause, reason: str, now: float) -> tuple[Decision, State]:
    since = state.paused_at if state.paused is not None else now
    state = replace(state, paused=cause, paused_at=since)
    if now - since > limits.longest_pause:
        return Decision(Action.STOP, 0.0, cause, f"paused for {now - since:.0f} s: {reason}"), state
    return Decision(Action.PAUSE, 0.0, cause, reason), state
