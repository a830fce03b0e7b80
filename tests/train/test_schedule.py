import pytest

from edge_sleep.config import Train
from edge_sleep.train.schedule import rate_at, warm_cosine


@pytest.mark.parametrize(("step", "expected"), [(0, 0.5), (1, 1.0), (2, 1.0), (19, 0.1)])
def test_learning_rate_rises_then_falls_to_a_tenth(step, expected):
    assert warm_cosine(step, 20, 0.1, 1.0) == pytest.approx(expected, abs=0.01)


def test_cooling_goes_on_from_the_rate_it_met_and_ends_where_every_schedule_ends():
    settings = Train(learning_rate=1.0, warmup=0.1)
    before = rate_at(30, 100, settings)
    cooling = [rate_at(step, 100, settings, cooling=30, in_epoch=10) for step in range(30, 40)]
    assert cooling[0] == before and cooling == sorted(cooling, reverse=True)
    assert cooling[-1] == pytest.approx(0.1, abs=0.03)
