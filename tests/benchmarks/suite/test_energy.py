"""Joules where watts are read; where they are not, the reason and no number."""
import pytest
from edge_sleep.benchmarks.suite.energy import Energy

from edge_sleep.device.telemetry.reading import Reading


class Source:
    name = "test"

    def __init__(self, *watts):
        self.watts, self.closed = list(watts), False

    def available(self):
        return None

    def read(self):
        return Reading(0.0, "test", watts=self.watts.pop(0) if len(self.watts) > 1 else self.watts[0])

    def close(self):
        self.closed = True


def test_joules_are_watts_times_seconds(monkeypatch):
    now = iter([100.0, 103.0])
    monkeypatch.setattr("edge_sleep.benchmarks.suite.energy.time.monotonic", lambda: next(now))
    energy = Energy(source=Source(20.0))
    with energy.metered("ours"):
        pass
    assert energy.joules == {"ours": [pytest.approx(60.0)]}


def test_a_turn_with_a_lost_reading_notes_nothing():
    energy = Energy(source=Source(20.0, None))
    with energy.metered("ours"):
        pass
    assert energy.joules == {}


def test_a_board_that_tells_no_watts():
    source = Source(None)
    energy = Energy(source=source)
    with energy.metered("ours"):
        pass
    assert energy.source is None and source.closed and "no watts" in energy.reason and energy.joules == {}
