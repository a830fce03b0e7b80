"""Why a training breaks off: the same shortage of time is heat where rests made it, and the clock where they did not."""
from __future__ import annotations

import pytest

from edge_sleep.device.thermal_model import Forecast
from edge_sleep.system.clock import ManualClock
from edge_sleep.train.breaks import Breaks
from edge_sleep.train.budget import Contract
from edge_sleep.train.governor import Cause
from edge_sleep.train.loop import Stop
from edge_sleep.train.pace import Halt, unpaced


class Paced:
    """A pace with everything given."""

    def __init__(self, duty=1.0, rests=None, work_left=None, halt=None, ahead=None):
        self.duty, self.rests, self.work_left, self.halt, self.ahead = duty, rests or {}, work_left, halt, ahead

    rested = property(lambda self: sum(self.rests.values()))

    def rest(self, give_way):
        self.gave_way = give_way()
        return self.halt

    def expected(self):
        return self.ahead


def breaks(pace, left: float = 100.0, interrupted: str | None = None) -> Breaks:
    return Breaks(Contract(ManualClock(), 0.0, left, 0.0), pace, lambda: interrupted)


@pytest.mark.parametrize(("pace", "left", "interrupted", "stop", "words"), [
    (Paced(), 100.0, None, None, ""), (Paced(), 100.0, "a conversation", Stop.PREEMPTED, "a conversation"),
    (Paced(), 5.0, None, Stop.DEADLINE, ""), (Paced(duty=0.1), 100.0, None, Stop.DEADLINE, ""),
    (Paced(rests={Cause.HEAT: 60.0}, work_left=50.0), 5.0, None, Stop.HEAT, "60 s were rests (heat 60 s)"),
    (Paced(rests={Cause.HEAT: 60.0}, work_left=500.0), 5.0, None, Stop.DEADLINE, ""),
    (Paced(rests={Cause.HEAT: 6.0}, work_left=None), 5.0, None, Stop.DEADLINE, "")])
def test_before_a_step_of_ten_seconds(pace, left, interrupted, stop, words):
    asked = breaks(pace, left, interrupted)
    assert asked.may_step(10.0) is stop
    assert words in asked.why


@pytest.mark.parametrize(("pace", "left", "interrupted", "stop", "words"), [
    (Paced(), 100.0, None, None, ""), (Paced(), 100.0, "signal 15", Stop.PREEMPTED, "signal 15"),
    (Paced(halt=Halt(Cause.ENERGY, "used")), 100.0, None, Stop.HEAT, "energy: used"),
    (Paced(halt=Halt(Cause.HEAT, "hot")), 100.0, "signal 15", Stop.PREEMPTED, "signal 15")])
def test_between_two_forwards(pace, left, interrupted, stop, words):
    asked = breaks(pace, left, interrupted)
    assert asked.boundary() is stop
    assert words in asked.why


@pytest.mark.parametrize(("left", "interrupted", "gave_way"), [(100.0, None, False), (0.0, None, True), (100.0, "x", True)])
def test_a_rest_gives_way_to_the_clock_and_to_people(left, interrupted, gave_way):
    pace = Paced()
    breaks(pace, left, interrupted).boundary()
    assert pace.gave_way is gave_way


@pytest.mark.parametrize(("ahead", "whole", "least", "too_much"), [
    (None, 50.0, 10.0, False), (Forecast(90.0, 120.0, 0.5, 0.0), 60.0, 20.0, True), (Forecast(90.0, 120.0, 0.5, 0.0), 40.0, 20.0, False),
    (Forecast(90.0, 120.0, 0.1, 0.0), 60.0, 20.0, False), (Forecast(90.0, 120.0, 0.5, 0.0), 150.0, 20.0, False),
    (Forecast(70.0, 70.0, 1.0, float("inf")), 60.0, 20.0, False)])
def test_the_plan_is_shortened_where_heat_alone_makes_it_too_much(ahead, whole, least, too_much):
    assert breaks(Paced(ahead=ahead)).too_much(whole, least) is too_much


def test_without_telemetry_only_the_clock_and_people_break_it_off():
    clock = ManualClock()
    asked = Breaks(Contract(clock, 0.0, 100.0, 0.0), unpaced(clock), lambda: None)
    assert (asked.may_step(10.0), asked.boundary(), asked.too_much(1000.0, 1.0)) == (None, None, False)
    clock.advance(95.0)
    assert asked.may_step(10.0) is Stop.DEADLINE
