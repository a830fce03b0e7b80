"""The meter finds how old a reading is and over how long it averages, and makes up for what readings saw by chance."""
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.train.meter import Meter

WORK, REST, BUSY, IDLE = 30.0, 5.0, 0.35, 0.08


def cycles(seconds: float, jitter: float = 0.1):
    """Rests of a duty cycle that is never quite the same."""
    chance, now = random.Random(1), 0.0
    while now < seconds:
        now += BUSY * (1 + chance.uniform(-jitter, jitter))
        yield now, now + IDLE
        now += IDLE


def watts_at(rests, at: float, lag: float, window: float) -> float:
    """What a meter shows that averages over `window` and is `lag` late."""
    start, end = at - lag - window, at - lag
    rested = sum(max(0.0, min(end, ended) - max(start, began)) for began, ended in rests)
    return WORK - (WORK - REST) * rested / window


def run(seconds: float, lag: float, window: float, seed: int = 2) -> tuple[float, float, Meter]:
    """(plain mean, corrected mean) of readings against the truth, as shares off."""
    rests, meter, chance = list(cycles(seconds)), Meter(), random.Random(seed)
    truth = WORK - (WORK - REST) * sum(ended - began for began, ended in rests) / rests[-1][1]
    now, last, place, plain, better, total = 1.0, 1.0, 0, 0.0, 0.0, 0.0
    while now < seconds:
        while place < len(rests) and rests[place][1] <= now:
            meter.rested(*rests[place])
            place += 1
        resting = rests[place][0] if place < len(rests) and rests[place][0] <= now else None
        near = rests[max(0, place - 10):place + 1]
        watts = watts_at(near, now, lag, window) + chance.gauss(0, 0.2)
        meter.read(now, watts, resting)
        share = 1 - sum(max(0.0, min(now, ended) - max(last, began)) for began, ended in near) / max(1e-9, now - last)
        step = chance.uniform(0.35, 0.65)
        if now > 15:
            plain, total = plain + watts, total + 1
            better += watts + (share - meter.seen(now, resting)) * meter.swing
        last, now = now, now + step
    return plain / total / truth - 1, better / total / truth - 1, meter


@pytest.mark.parametrize(("lag", "window"), [(0.0, 0.02), (0.1, 0.02), (0.15, 0.1), (0.3, 0.1), (0.4, 0.25)])
def test_lag_and_window_are_found_and_so_is_the_swing(lag, window):
    plain, better, meter = run(120.0, lag, window)
    assert (meter.lag, meter.window) == (pytest.approx(lag, abs=0.05), pytest.approx(window, abs=0.1))
    assert meter.swing == pytest.approx(WORK - REST, rel=0.15)
    assert abs(better) < 0.006


@pytest.mark.parametrize("lag", [0.0, 0.15, 0.35])
def test_over_many_nights_the_correction_is_worth_its_keep(lag):
    pairs = [run(90.0, lag, 0.1, seed)[:2] for seed in range(12)]
    plain, better = (max(abs(pair[side]) for pair in pairs) for side in (0, 1))
    assert better < 0.01 and better < plain


def test_a_meter_without_rests_corrects_nothing():
    meter, chance = Meter(), random.Random(3)
    for number in range(200):
        meter.read(number * 0.5, 20 + chance.gauss(0, 1))
        assert (meter.seen(number * 0.5), meter.swing) == (1.0, 0.0)


def test_watts_that_have_nothing_to_do_with_the_work_are_left_alone():
    meter, chance = Meter(), random.Random(4)
    for began, ended in cycles(100.0):
        meter.rested(began, ended)
    for number in range(200):
        meter.read(number * 0.5, 20 + chance.gauss(0, 3))
    assert abs(meter.swing) < 8.0


def test_a_service_that_repeats_itself_counts_once():
    meter = Meter()
    for _ in range(50):
        meter.read(7.0, 20.0)
    assert len(meter._readings) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=20), st.floats(0, 120))
def test_what_was_seen_is_always_a_share(rests, at):
    meter, now = Meter(), 0.0
    for gap, length in sorted(rests):
        meter.rested(now + gap, now + gap + length)
        now += gap + length
    assert -1e-9 <= meter.seen(at) <= 1 + 1e-9
