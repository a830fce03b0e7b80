"""The pace: rests as decided, seen from a thread, and no sensor that can hold up a night."""
from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.device.telemetry.replay import parse
from edge_sleep.system.clock import Clock
from edge_sleep.train.governor import Action, Cause, Limits
from edge_sleep.train.pace import Pace, unpaced

pytestmark = pytest.mark.alone

LIMITS = Limits(ceiling=83.0, release=78.0)


class Board:
    """A source that says what the test wants; `block` makes it not return."""

    name = "sysfs"

    def __init__(self, celsius: float = 40.0, watts: float | None = 10.0):
        self.celsius, self.watts, self.lost, self.closed = celsius, watts, (), False
        self.block = threading.Event()
        self.block.set()

    def available(self):
        return None

    def read(self) -> Reading:
        self.block.wait(20.0)
        return Reading(time.monotonic(), self.name, zones={"tj": self.celsius}, watts=self.watts, lost=self.lost)

    def close(self):
        self.closed = True


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def told():
    return []


@pytest.fixture
def pace(board, told, tmp_path):
    with Pace(board, LIMITS, Clock(), lambda event, **facts: told.append((event, facts)), tmp_path / "telemetry.jsonl",
              lambda: 1000.0) as running:
        yield running


def seconds(work) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def until(condition, limit: float = 3.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_cool_board_does_not_rest(pace):
    assert seconds(pace.rest) < 0.05
    assert pace.rested == 0.0


def test_a_warm_board_rests_in_proportion_to_its_work(board, pace):
    board.celsius = 80.0
    until(lambda: pace.decision.action is Action.SLOW)
    pace.begin()
    time.sleep(0.2)
    duty = pace.decision.duty
    took = seconds(pace.rest)
    assert took == pytest.approx(0.2 * (1 / duty - 1), rel=0.5)
    assert pace.rests[Cause.HEAT] == pytest.approx(took, abs=0.05)


def test_a_pause_lasts_until_the_board_has_cooled(board, pace, told):
    board.celsius = 90.0
    until(lambda: pace.decision.action is Action.PAUSE)
    timer = threading.Timer(0.8, lambda: setattr(board, "celsius", 60.0))
    timer.start()
    assert 0.7 < seconds(pace.rest) < 2.5
    actions = [facts["action"] for event, facts in told if event == "pace"]
    assert actions[:1] == ["pause"] and actions[-1] == "run"
    assert pace.measured()["max_celsius"] == 90.0


def test_who_wants_the_device_does_not_wait_for_the_board(board, pace):
    board.celsius = 90.0
    until(lambda: pace.decision.action is Action.PAUSE)
    wanted = time.monotonic() + 0.5
    assert seconds(lambda: pace.rest(lambda: time.monotonic() > wanted)) < 1.2


def test_giving_way_in_a_pause_says_what_it_was_paused_for(board, pace):
    board.celsius = 90.0
    until(lambda: pace.decision.action is Action.PAUSE)
    halt = pace.rest(lambda: True)
    assert (halt.cause, "90.0" in halt.reason) == (Cause.HEAT, True)


def test_a_pause_that_is_too_long_is_a_halt(board):
    board.celsius = 90.0
    with Pace(board, replace(LIMITS, longest_pause=1.0), Clock()) as pace:
        halt = pace.rest()
    assert halt.cause is Cause.HEAT and "paused for" in halt.reason


def test_a_sensor_that_blocks_holds_up_nothing(board, pace, told):
    board.block.clear()
    started = time.monotonic()
    lost = until(lambda: pace._current().cause is Cause.LOST, 4.5)
    assert lost < 4.0
    assert pace.decision.action is Action.PAUSE and "stale" in pace.decision.reason
    assert pace.rest(lambda: True).cause is Cause.LOST
    assert seconds(lambda: pace.__exit__(None, None, None)) < 2.0
    board.block.set()
    assert time.monotonic() - started < 10


def test_what_is_lost_pauses_by_name(board, pace, told):
    board.lost = (Lost("rail", "VDD_IN", "gone"),)
    until(lambda: pace.decision.action is Action.PAUSE)
    assert told[-1][1] | {"duty": 0} == {"action": "pause", "cause": "telemetry_lost", "duty": 0, "reason": "rail VDD_IN: gone"}
    board.lost = ()
    until(lambda: pace.decision.action is Action.RUN)


def test_what_was_measured_is_in_the_record_and_in_a_recording(board, pace, tmp_path):
    time.sleep(1.3)
    measured = pace.measured()
    assert measured["energy_joules"] == pytest.approx(13.0, rel=0.5)
    assert measured["max_celsius"] == 40.0 and measured["paused_seconds"] == 0.0
    assert parse((tmp_path / "telemetry.jsonl").read_text().splitlines(keepends=True))[0].zones == {"tj": 40.0}


def test_a_board_without_a_power_monitor_measures_no_energy(board):
    board.watts = None
    with Pace(board, LIMITS, Clock()) as pace:
        time.sleep(0.8)
    assert pace.measured()["energy_joules"] is None


def test_a_full_disk_ends_the_recording_not_the_night(board, told):
    with Pace(board, LIMITS, Clock(), lambda event, **facts: told.append((event, facts)),
              record=__import__("pathlib").Path("/dev/full")) as pace:
        time.sleep(0.8)
        assert pace.decision.action is Action.RUN
    assert [facts["recorded"] for event, facts in told if event == "telemetry"] == [False]


def test_before_work_that_cannot_rest_it_cools_down_and_then_does_not_wait(board, pace):
    pace.cool_down()                                       # nothing is known of this board yet
    board.celsius = 82.0
    until(lambda: pace.state.peak >= 82.0)
    with pace._changed:
        pace.state = replace(pace.state, smooth=82.0, slope=0.0, rest=40.0, worked=500.0, duty=0.5)
    timer = threading.Timer(0.6, lambda: setattr(board, "celsius", 60.0))
    timer.start()
    assert 0.5 < seconds(pace.cool_down) < 2.0
    assert seconds(pace.cool_down) < 0.1
    board.celsius = 82.0
    until(lambda: pace._hottest() == 82.0)
    assert seconds(lambda: pace.cool_down(lambda: True)) < 0.1


def test_without_a_source_nothing_is_minded_and_nothing_is_measured():
    with unpaced(Clock()) as pace:
        assert pace.rest() is None and pace.expected() is None and pace.duty == 1.0
        assert pace.measured() == {"paused_seconds": None, "energy_joules": None, "max_celsius": None}
    assert threading.active_count() >= 1


def test_its_end_closes_the_source_and_ends_the_thread(board):
    with Pace(board, LIMITS, Clock()) as pace:
        pass
    assert board.closed and not pace._thread.is_alive()


def test_a_forecast_that_no_longer_fits_is_said_once(board, told):
    left = [5000.0]
    pace = Pace(board, LIMITS, Clock(), lambda event, **facts: told.append((event, facts)), clock_left=lambda: left[0])
    pace.begin(4000.0)
    pace.state = replace(pace.state, at=0.0, smooth=82.0, slope=0.0, rest=45.0, worked=500.0, duty=0.5)
    for _ in range(3):
        pace._foretell()
    left[0] = 20_000.0
    pace._foretell()
    said = [facts for event, facts in told if event == "forecast"]
    assert [facts["fits"] for facts in said] == [False, True]
    assert said[0]["needed_seconds"] > 5000 and said[0]["duty"] == pytest.approx(0.51, abs=0.02)
