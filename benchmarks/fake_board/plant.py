"""Boards that warm: drawn at random, worked under the governor in simulated time, and held against the best constant duty."""
from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.thermal_model import TwoNodes
from edge_sleep.train import governor
from edge_sleep.train.governor import Action, Done, Limits, State
from edge_sleep.train.meter import Meter

IDLE_WATTS = 4.6                       # an Orin NX at idle
NIGHT_SECONDS = 2700.0
_READINGS = (0.35, 0.65)               # seconds between two, as train/pace.py takes them
_NOISE_CELSIUS, _NOISE_WATTS = 0.1, 0.005


@dataclass(frozen=True)
class Warmth:
    """One board: kelvin per watt, seconds, Celsius, watts. dust multiplies the resistance."""

    ambient: float
    resistance: float
    dust: float
    die_seconds: float
    sink_seconds: float
    work_watts: float                  # on top of idle
    micro_batch_seconds: float
    lag_seconds: float = 1.0

    def plant(self) -> TwoNodes:
        """At rest, as an evening leaves it."""
        nodes = TwoNodes(self.ambient, self.resistance * self.dust, self.die_seconds, self.sink_seconds)
        nodes.rest(IDLE_WATTS)
        return nodes

    def faster(self, times: float) -> Warmth:
        """The same board in compressed time."""
        return replace(self, die_seconds=self.die_seconds / times, sink_seconds=self.sink_seconds / times)


def draw(count: int, seed: int, ceiling: float, night_seconds: float) -> Iterator[Warmth]:
    """Boards over the plausible range of every parameter; every second one at least would pass the ceiling at full duty.

    Ranges: research on an Orin NX's plateaus for the resistance, estimates for the time constants, a fan that is dusty to stuck
    for dust, a fifteenth to three of a die's time for the micro-batch.
    """
    chance = random.Random(seed)
    bound = 0
    for number in range(count):
        while True:
            board = Warmth(ambient=chance.uniform(15, 40), resistance=chance.uniform(1.0, 1.5), dust=chance.uniform(1.0, 2.2),
                           die_seconds=chance.uniform(5, 15), sink_seconds=chance.uniform(150, 400),
                           work_watts=chance.uniform(10, 30),
                           micro_batch_seconds=math.exp(chance.uniform(math.log(0.3), math.log(6))))
            passes = constant(board, 1.0, night_seconds)[0] > ceiling
            if passes or 2 * bound > number:
                break
        bound += passes
        yield board


def constant(board: Warmth, duty: float, night_seconds: float, limit: float = math.inf) -> tuple[float, float]:
    """(hottest moment in Celsius, micro-batches in the night) of rests that always are the same; ends where `limit` is passed."""
    plant, busy, hottest = board.plant(), board.micro_batch_seconds, -math.inf
    rest = busy * (1 / duty - 1)
    done = 0
    for _ in range(int(night_seconds / (busy + rest))):
        hottest = max(hottest, plant.advance(IDLE_WATTS + board.work_watts, busy))
        if hottest > limit:
            break
        if rest:
            plant.advance(IDLE_WATTS, rest)
        done += 1
    return hottest, done


def best_constant(board: Warmth, limit: float, night_seconds: float) -> tuple[float, float]:
    """(duty, micro-batches) of the most work that never passes `limit`, by bisection to a thousandth."""
    if constant(board, 1.0, night_seconds, limit)[0] <= limit:
        return 1.0, constant(board, 1.0, night_seconds)[1]
    duty = largest_duty(lambda tried: constant(board, tried, night_seconds, limit)[0] <= limit)
    return duty, constant(board, duty, night_seconds)[1]


def largest_duty(obeys: Callable[[float], bool]) -> float:
    """The largest duty below 1 that obeys, to a thousandth, where all smaller ones do."""
    low, high = 0.005, 1.0
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (middle, high) if obeys(middle) else (low, middle)
    return low


@dataclass
class Governed:
    """What a night under the governor came to."""

    done: int                          # micro-batches
    hottest: float                     # Celsius, of the die itself
    pauses: int
    joules: float                      # the plant's
    joules_measured: float
    duty_ripple: float                 # standard deviation of the duty behind the first third


def governed(board: Warmth, limits: Limits, night_seconds: float, seed: int = 0) -> Governed:
    """The closed loop in simulated time: sensors late and noisy, two readings a second, rests between micro-batches."""
    chance = random.Random(seed)
    plant, state, decision = board.plant(), State(), None
    meter = Meter(lags=(0.0,), windows=(0.02,))            # simulated watts are read at once
    seen, now, next_reading = plant.die, 0.0, 0.0
    working, until, rest_began = True, board.micro_batch_seconds, 0.0
    last, worked = 0.0, 0.0
    duties: list[float] = []
    result = Governed(0, -math.inf, 0, 0.0, 0.0, 0.0)
    while now < night_seconds:
        paused = decision is not None and decision.action is Action.PAUSE
        step = min(next_reading, until if working or not paused else math.inf, now + 0.1) - now
        if step > 0:
            watts = IDLE_WATTS + (board.work_watts if working else 0.0)
            die = plant.advance(watts, step)
            result.hottest = max(result.hottest, die)
            result.joules += watts * step
            worked += step * working
            seen += (die - seen) * -math.expm1(-step / board.lag_seconds)
            now += step
        if now >= next_reading:
            next_reading = now + chance.uniform(*_READINGS)
            watts = (IDLE_WATTS + (board.work_watts if working else 0.0)) * (1 + chance.gauss(0, _NOISE_WATTS))
            reading = Reading(now, "simulated", zones={"tj": seen + chance.gauss(0, _NOISE_CELSIUS)}, watts=watts)
            share = worked / (now - last) if now > last else 1.0
            resting = None if working else rest_began
            meter.read(now, watts, resting)
            decision, state = governor.decide(limits, state, reading, now,
                                              done=Done(share, meter.seen(now, resting), meter.swing))
            result.pauses += decision.action is Action.PAUSE and not paused
            last, worked = now, 0.0
            if now > night_seconds / 3:
                duties.append(decision.duty)
            if not working:
                until = rest_began + decision.rest_after(board.micro_batch_seconds)
        if decision is None:
            continue
        if working and now >= until:
            result.done += 1
            working, rest_began, until = False, now, now + decision.rest_after(board.micro_batch_seconds)
        if not working and decision.action is not Action.PAUSE and now >= until:
            working, until = True, now + board.micro_batch_seconds
            meter.rested(rest_began, now)
    result.joules_measured = state.joules
    mean = sum(duties) / len(duties)
    result.duty_ripple = math.sqrt(sum((duty - mean) ** 2 for duty in duties) / len(duties))
    return result


def compared(board: Warmth, limits: Limits, tolerance: float, night_seconds: float, seed: int) -> dict[str, float | bool | dict]:
    """The governor against the best constant duty that obeys the same limit, ceiling + tolerance; and the ceiling itself."""
    assert limits.ceiling is not None
    ours = governed(board, limits, night_seconds, seed)
    duty, most = best_constant(board, limits.ceiling + tolerance, night_seconds)
    _, strict = best_constant(board, limits.ceiling, night_seconds)
    bound = constant(board, 1.0, night_seconds)[0] > limits.ceiling
    return {"board": asdict(board), "bound": bound, "best_duty": duty, "throughput": ours.done / most,
            "throughput_at_ceiling": ours.done / strict, "over_ceiling": ours.hottest - limits.ceiling,
            "pauses_per_hour": ours.pauses * 3600 / night_seconds, "duty_ripple": ours.duty_ripple,
            "energy_off": ours.joules_measured / ours.joules - 1}
