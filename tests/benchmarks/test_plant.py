"""The twin: its yardstick is the best there is, and the governor keeps to it on boards of every kind."""
from __future__ import annotations

from dataclasses import replace

import pytest
from edge_sleep.benchmarks.fake_board import plant
from edge_sleep.benchmarks.twin import LEAST_THROUGHPUT, LIMITS, MOST_ENERGY_OFF, TOLERANCE, judge

NIGHT = 1800.0
HOT = plant.Warmth(ambient=30.0, resistance=1.4, dust=1.8, die_seconds=9.0, sink_seconds=220.0, work_watts=25.0,
                   micro_batch_seconds=1.5)


def test_a_board_at_full_duty_settles_by_ohms_law():
    hottest, done = plant.constant(replace(HOT, sink_seconds=30.0), 1.0, NIGHT)
    assert hottest == pytest.approx(30.0 + 1.4 * 1.8 * (plant.IDLE_WATTS + 25.0), abs=0.1)
    assert done == int(NIGHT / 1.5)


def test_the_best_constant_duty_obeys_its_limit_and_a_little_more_does_not():
    duty, done = plant.best_constant(HOT, 85.0, NIGHT)
    assert plant.constant(HOT, duty, NIGHT) == (pytest.approx(85.0, abs=0.2), done)
    assert plant.constant(HOT, duty, NIGHT)[0] <= 85.0 < plant.constant(HOT, duty + 0.01, NIGHT)[0]


def test_the_same_board_in_compressed_time_is_as_hot():
    slow, fast = plant.constant(HOT, 0.5, NIGHT), plant.constant(replace(HOT.faster(4), micro_batch_seconds=0.375), 0.5, NIGHT / 4)
    assert fast == (pytest.approx(slow[0], abs=0.01), slow[1])


def test_boards_are_drawn_the_same_again_and_half_of_them_are_bound_by_heat():
    drawn = list(plant.draw(40, 3, 83.0, NIGHT))
    assert drawn == list(plant.draw(40, 3, 83.0, NIGHT))
    assert sum(plant.constant(board, 1.0, NIGHT)[0] > 83.0 for board in drawn) >= 20


@pytest.mark.parametrize("seed", [11, pytest.param(12, marks=pytest.mark.long)])
def test_the_governor_keeps_the_ceiling_at_nearly_no_cost(seed):
    rows = [plant.compared(board, LIMITS, TOLERANCE, NIGHT, seed) for board in plant.draw(12, seed, 83.0, NIGHT)]
    for row in rows:
        assert row["over_ceiling"] <= TOLERANCE, row
        assert row["throughput"] >= LEAST_THROUGHPUT, row
        assert abs(row["energy_off"]) <= MOST_ENERGY_OFF, row
    assert judge(rows)["passed"] and judge(rows)["bound_by_heat"] >= 6


@pytest.mark.parametrize("changes", [
    {"micro_batch_seconds": 6.0, "die_seconds": 5.0}, {"ambient": 45.0, "dust": 2.5}, {"lag_seconds": 2.0}, {"sink_seconds": 60.0}])
def test_beyond_what_is_plausible_it_still_never_passes_the_ceiling_by_much(changes):
    found = plant.governed(replace(HOT, **changes), LIMITS, NIGHT)
    assert found.hottest <= 83.0 + 2 * TOLERANCE
    assert found.done > 0


def test_a_verdict_needs_every_board():
    row = {"bound": True, "over_ceiling": 1.0, "throughput": 0.95, "energy_off": 0.0, "pauses_per_hour": 0.0}
    assert judge([row])["passed"]
    for broken in ({"over_ceiling": 2.1}, {"throughput": 0.91}, {"energy_off": -0.03}):
        assert not judge([row, {**row, **broken}])["passed"]
