import pytest

from edge_sleep.system.clock import ManualClock
from edge_sleep.train.budget import Contract, reserve


def test_a_step_must_end_before_the_reserve_begins():
    clock = ManualClock()
    contract = Contract(clock, clock.monotonic(), total_seconds=100, reserve_seconds=30)
    assert contract.fits(60)
    clock.advance(40)
    assert not contract.fits(30)
    assert contract.fits(27)
    clock.advance(31)
    assert contract.for_training() < 0
    assert not contract.fits(0)


@pytest.mark.parametrize(("total", "share", "load", "judged", "expected"), [
    (600, 0.25, 10, None, 150),      # the configured share
    (600, 0.25, 100, None, 200),     # loading twice is more
    (600, 0.25, 10, 200, 270),       # the last judgement, a quarter more, and loading
    (600, 0.25, 10, 900, 300),       # never over half of the night
])
def test_reserve(total, share, load, judged, expected):
    assert reserve(total, share, load, judged) == expected
