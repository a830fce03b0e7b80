"""The plant against its differential equations, the forecast against the plant."""
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.device.thermal_model import TwoNodes, forecast


def board(**changes) -> TwoNodes:
    return TwoNodes(**{"ambient": 25.0, "resistance": 1.3, "die_seconds": 8.0, "sink_seconds": 250.0, **changes})


@given(st.floats(15, 40), st.floats(1, 1.5), st.floats(1, 60))
def test_it_settles_where_ohms_law_says(ambient, resistance, watts):
    plant = board(ambient=ambient, resistance=resistance)
    plant.rest(watts)
    assert plant.die == pytest.approx(ambient + resistance * watts)
    before = plant.die
    assert plant.advance(watts, 600.0) == pytest.approx(before, abs=1e-6)
    plant.rest(0.0)
    assert plant.advance(watts, 5000.0) == pytest.approx(ambient + resistance * watts, abs=1e-3)


def test_one_long_step_and_many_short_ones_are_the_same():
    long, short = board(), board()
    long.rest(5.0)
    short.rest(5.0)
    long.advance(20.0, 120.0)
    for _ in range(12000):
        short.advance(20.0, 0.01)
    assert long.die == pytest.approx(short.die, abs=1e-6)
    assert long.sink == pytest.approx(short.sink, abs=1e-6)


def test_against_the_equations_in_tiny_euler_steps():
    plant, watts, step = board(), 22.0, 0.002
    plant.rest(5.0)
    die, sink = plant.die, plant.sink
    inner, outer = 0.3 * 1.3, 0.7 * 1.3
    for _ in range(int(90 / step)):
        flow = (die - sink) / inner
        die += step * (watts - flow) * inner / 8.0
        sink += step * (flow - (sink - 25.0) / outer) * outer / 250.0
    assert plant.advance(watts, 90.0) == pytest.approx(die, abs=0.01)


def after(seconds: float, watts: float, plant: TwoNodes) -> tuple[float, float, float]:
    """(rest, die, slope) after `seconds` of work."""
    plant.rest(4.6)
    rest = plant.die
    plant.advance(watts, seconds - 1)
    before = plant.die
    return rest, plant.advance(watts, 1.0), plant.die - before


@pytest.mark.parametrize("sink_seconds", [150.0, 250.0, 400.0])
def test_a_board_that_will_meet_its_ceiling_is_known_early(sink_seconds):
    plant = board(sink_seconds=sink_seconds, resistance=1.5)
    rest, celsius, slope = after(120.0, 50.0, plant)
    found = forecast(celsius, slope, rest, 1.0, 82.5)
    assert found.duty < 0.95
    assert 0 <= found.until_limit_seconds < 1000
    assert found.seconds_for(3000.0) > 3000.0


def test_a_cool_board_has_all_its_time():
    plant = board()
    rest, celsius, slope = after(300.0, 20.0, plant)
    found = forecast(celsius, slope, rest, 1.0, 82.5)
    assert (found.duty, found.until_limit_seconds, found.seconds_for(3000.0)) == (1.0, math.inf, 3000.0)


@given(st.floats(30, 90), st.floats(-1, 1), st.floats(20, 60), st.floats(0.1, 1), st.floats(50, 90))
def test_a_forecast_is_always_a_share_and_a_time(celsius, slope, rest, duty, limit):
    found = forecast(celsius, slope, rest, duty, limit)
    assert 0 < found.duty <= 1 and found.until_limit_seconds >= 0
    assert found.seconds_for(100.0) >= 100.0
