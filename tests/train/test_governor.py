"""The governor by table: what a reading makes of a night, and what it is called."""
from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.train import governor
from edge_sleep.train.governor import (
    LEAST_DUTY,
    STALE_SECONDS,
    UNKNOWN,
    Action,
    Ahead,
    Cause,
    Done,
    Limits,
    State,
    decide,
    expected,
)

LIMITS = Limits(ceiling=83.0, release=78.0)
FRESH = State()
POWERED = Limits(cap_watts=20.0)


def reading(celsius: float = 50.0, at: float = 0.0, watts: float | None = 10.0, **changes) -> Reading:
    return Reading(at, "sysfs", zones={"cpu": celsius - 2, "tj": celsius}, watts=watts, **changes)


def follow(limits: Limits, temperatures, state: State = FRESH, every: float = 0.5, **changes):
    """Decisions on a row of temperatures, one each `every` seconds."""
    decisions = []
    for celsius in temperatures:
        now = (state.at or 0.0) + every
        decision, state = decide(limits, state, reading(celsius, now, **changes), now)
        decisions.append(decision)
    return decisions, state


@pytest.mark.parametrize(("celsius", "action", "cause"), [
    (45.0, Action.RUN, Cause.NONE), (70.0, Action.RUN, Cause.NONE), (80.0, Action.SLOW, Cause.HEAT),
    (83.9, Action.SLOW, Cause.HEAT), (84.1, Action.PAUSE, Cause.HEAT), (110.0, Action.PAUSE, Cause.HEAT)])
def test_by_temperature(celsius, action, cause):
    decision, _ = decide(LIMITS, State(), reading(celsius), 0.0)
    assert (decision.action, decision.cause) == (action, cause)
    assert f"tj is at {celsius:.1f}" in decision.reason
    if action is not Action.RUN:
        assert "83" in decision.reason


@pytest.mark.parametrize(("seen", "action"), [([85, 82], Action.PAUSE), ([85, 78.5], Action.PAUSE), ([85, 77.9], Action.SLOW),
                                              ([85, 82, 77, 82], Action.SLOW), ([85, 77, 85, 79], Action.PAUSE)])
def test_a_pause_ends_at_the_release_not_at_the_ceiling(seen, action):
    decisions, _ = follow(LIMITS, seen)
    assert decisions[-1].action is action


def test_the_nearer_the_ceiling_the_less_work():
    duties = [decide(LIMITS, State(), reading(celsius), 0.0)[0].duty for celsius in (74, 76, 78, 80, 82)]
    assert duties == sorted(duties, reverse=True) and duties[0] == 1.0 and duties[-1] == pytest.approx(0.16, abs=0.01)


def test_below_the_target_the_integral_gives_more_above_it_less():
    low, _ = follow(LIMITS, [80.0] * 60)
    assert low[-1].duty > low[0].duty + 0.2
    high, _ = follow(LIMITS, [83.5] * 60, State(heat=0.6))
    assert high[-1].duty < high[0].duty


def test_a_cool_hour_winds_nothing_up():
    _, cool = follow(LIMITS, [40.0] * 7200)
    assert cool.heat == State().heat
    _, hot = follow(LIMITS, [83.9] * 7200)
    assert hot.heat <= 1.0 - 1e-9
    again, _ = follow(LIMITS, [70.0] * 100, hot)
    assert again[0].duty == LEAST_DUTY and again[-1].duty > 0.4     # the peak is forgotten by .1 degrees a second


@pytest.mark.parametrize(("lost", "zones", "paused"), [
    ((Lost("telemetry", "jtop", "silent"),), {}, True), ((Lost("rail", "VDD_IN", "gone"),), {"tj": 50.0}, True),
    ((Lost("zone", "gpu", "EIO"),), {"tj": 50.0}, False), ((Lost("zone", "tj", "EIO"),), {"gpu": 50.0}, True),
    ((Lost("zone", "gpu", "EIO"),), {"cpu": 50.0}, True), ((Lost("gpu", "17000000.gpu", "EIO"),), {"tj": 50.0}, False),
    ((Lost("memory", "MemAvailable", "none"),), {"tj": 50.0}, False), ((), {}, True)])
def test_what_cannot_be_read_is_hot_where_nothing_covers_it(lost, zones, paused):
    decision, _ = decide(LIMITS, State(), Reading(0.0, "jtop", zones=zones, watts=5.0, lost=lost), 0.0)
    assert (decision.action is Action.PAUSE, decision.cause is Cause.LOST) == (paused, paused)
    if paused and lost:
        assert str(lost[0]) == decision.reason


@pytest.mark.parametrize(("after", "words"), [
    (Reading(1.0, "sysfs", zones={"cpu": 50.0}, watts=5.0), "zone tj"), (Reading(1.0, "sysfs", zones={"tj": 50.0}), "power"),
    (None, "no reading"), (Reading(1.0 - STALE_SECONDS - 0.1, "sysfs", zones={"tj": 50.0}, watts=5.0), "stale")])
def test_what_was_there_before_and_is_not_now_is_lost(after, words):
    _, state = decide(LIMITS, State(), reading(), 0.0)
    decision, _ = decide(LIMITS, state, after, 1.0)
    assert (decision.action, decision.cause, words in decision.reason) == (Action.PAUSE, Cause.LOST, True)


def test_a_night_without_limits_has_nothing_to_lose():
    for given_reading in (None, reading(120.0), reading(throttling=("gpu",))):
        assert decide(Limits(), State(), given_reading, 0.0)[0].action is Action.RUN


def test_what_the_kernel_throttles_is_paused_for():
    decision, _ = decide(LIMITS, State(), reading(throttling=("gpu",)), 0.0)
    assert (decision.action, decision.cause, decision.reason) == (Action.PAUSE, Cause.THROTTLED, "the kernel throttles gpu")


def test_a_pause_that_is_too_long_ends_the_night_with_its_cause():
    limits = replace(LIMITS, longest_pause=60.0)
    decisions, _ = follow(limits, [90.0] * 130)
    assert [decision.action for decision in decisions[:120]] == [Action.PAUSE] * 120
    assert (decisions[-1].action, decisions[-1].cause) == (Action.STOP, Cause.HEAT)
    assert "paused for 6" in decisions[-1].reason


def powered(limits: Limits, at_work: float, seconds: int, ahead: Ahead = UNKNOWN, idle: float = 5.0) -> tuple[list, State]:
    """A board that draws `at_work` watts at work and `idle` at rest: a reading is what the duty makes of both."""
    state, decisions, duty = State(), [], 1.0
    for now in range(seconds):
        decision, state = decide(limits, state, reading(50.0, now, idle + (at_work - idle) * duty), now,
                                 replace(ahead, clock_seconds=ahead.clock_seconds - now) if ahead.clock_seconds else ahead)
        decisions.append(decision)
        duty = decision.duty
    return decisions, state


def test_a_power_cap_is_met_on_average():
    decisions, state = powered(POWERED, 35.0, 300)
    assert state.mean_watts == pytest.approx(20.0, rel=0.03)
    assert decisions[-1].duty == pytest.approx(0.5, abs=0.03)
    assert (decisions[-1].action, decisions[-1].cause) == (Action.SLOW, Cause.POWER)
    assert "the cap is 20 W" in decisions[-1].reason


def test_a_cap_above_what_is_drawn_does_nothing():
    decisions, _ = powered(POWERED, 18.0, 300)
    assert {decision.action for decision in decisions} == {Action.RUN}


def test_energy_is_spread_where_the_work_would_overrun_it_and_its_end_is_a_stop():
    limits = Limits(energy_joules=12_000.0)
    decisions, state = powered(limits, 35.0, 600, Ahead(work_seconds=2000.0, clock_seconds=600.0))
    assert (decisions[300].action, decisions[300].cause) == (Action.SLOW, Cause.ENERGY)
    assert state.joules == pytest.approx(12_000.0, rel=0.05)
    over, _ = decide(limits, replace(state, joules=12_000.0), reading(50.0, 600.0), 600.0)
    assert (over.action, over.cause, "12000 J" in over.reason) == (Action.STOP, Cause.ENERGY, True)


def test_energy_that_is_enough_slows_nothing():
    decisions, _ = powered(Limits(energy_joules=50_000.0), 35.0, 300, Ahead(work_seconds=900.0, clock_seconds=3000.0))
    assert {decision.action for decision in decisions} == {Action.RUN}


def test_the_smaller_duty_of_heat_and_power_holds():
    both = Limits(ceiling=83.0, release=78.0, cap_watts=20.0)
    hot, _ = decide(both, State(), reading(82.0, watts=10.0), 0.0)
    assert hot.cause is Cause.HEAT
    decisions, _ = follow(both, [50.0] * 200, watts=30.0)
    assert decisions[-1].cause is Cause.POWER


def test_joules_are_the_area_below_the_watts():
    state = State()
    for now in range(101):
        _, state = decide(LIMITS, state, reading(at=now, watts=10.0 + now / 10), now)
    assert state.joules == pytest.approx(10.0 * 100 + 100**2 / 20, abs=5.1)      # half a second of the whole rise


def test_a_reading_that_met_only_work_is_corrected_by_the_share_that_was_worked():
    """A duty of half, read twice as often at work as at rest: plain readings would say 25 W."""
    state = State()
    for now in range(1, 1201):
        at_work = now % 3 != 0
        _, state = decide(LIMITS, state, reading(at=now, watts=35.0 if at_work else 5.0), now, Ahead(), Done(0.5, float(at_work), 30.0))
    assert state.joules / 1200 == pytest.approx(20.0, rel=0.01)
    assert state.mean_watts == pytest.approx(20.0, rel=0.05)


def test_a_gap_of_lost_telemetry_is_not_free_of_charge():
    _, state = decide(LIMITS, State(), reading(at=0.0, watts=20.0), 0.0)
    _, state = decide(LIMITS, state, Reading(1.0, "jtop", lost=(Lost("telemetry", "jtop", "silent"),)), 1.0)
    _, state = decide(LIMITS, state, reading(at=11.0, watts=20.0), 11.0)
    assert state.joules > 0 and not math.isnan(state.joules)


@pytest.mark.parametrize(("duty", "busy", "rest"), [(1.0, 2.0, 0.0), (0.5, 2.0, 2.0), (0.1, 1.0, 9.0)])
def test_rests_make_the_duty(duty, busy, rest):
    assert governor.Decision(Action.SLOW, duty, Cause.HEAT, "").rest_after(busy) == pytest.approx(rest)


def test_nothing_is_foretold_before_there_was_work():
    _, state = follow(LIMITS, [60.0] * 1000)
    assert expected(LIMITS, state) is None
    assert expected(Limits(), replace(state, worked=1e4)) is None


def test_before_work_that_cannot_rest_the_board_gets_room_for_it():
    """Half the time worked, 90 degrees over rest at full duty: the die alone would rise by 13.5 more."""
    state = State(smooth=82.5, slope=0.0, rest=37.5, worked=500.0, duty=0.5)
    assert governor.room_for_unpaced(LIMITS, state) == pytest.approx(82.5 - 0.3 * 90 * 0.5)
    assert governor.room_for_unpaced(LIMITS, replace(state, duty=1.0)) == pytest.approx(82.5)
    assert governor.room_for_unpaced(Limits(), state) is None
    assert governor.room_for_unpaced(LIMITS, replace(state, worked=10.0)) is None


@given(st.lists(st.tuples(st.floats(-40, 150), st.floats(0, 300), st.floats(0, 20)), min_size=1, max_size=30))
def test_whatever_comes_a_decision_is_whole(rows):
    limits = Limits(ceiling=83.0, cap_watts=20.0, energy_joules=1e5)
    state, now = State(), 0.0
    for celsius, watts, step in rows:
        now += step
        decision, state = decide(limits, state, reading(celsius, now, watts), now, Ahead(100.0, 1000.0 - now))
        assert decision.reason
        if decision.action in (Action.RUN, Action.SLOW):
            assert LEAST_DUTY <= decision.duty <= 1.0 and decision.rest_after(1.0) <= 9.0 + 1e-9
            assert celsius <= 84.0
        else:
            assert decision.duty == 0.0
