"""Medians with their noise, paired ratios, exponents, and when two runs say the same."""
import math

import hypothesis.strategies as st
import pytest
from edge_sleep.benchmarks.suite import statistics as of
from hypothesis import given

NUMBERS = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize("n, cut, expected", [(1, 0, 0.0), (2, 0, 0.5), (3, 0, 0.75), (5, 0, 0.9375), (6, 1, 0.78125), (10, 2, 1 - 2 * 56 / 1024),
                                              (4, 2, 0.0)])
def test_coverage_is_the_binomial_one(n, cut, expected):
    assert of.coverage(n, cut) == pytest.approx(expected)


def test_the_interval_is_as_narrow_as_its_coverage_allows():
    found = of.summary([float(value) for value in range(1, 21)])
    assert (found.median, found.n) == (10.5, 20)
    assert found.coverage >= of.WANTED > of.coverage(20, 6)
    assert (found.low, found.high) == (6.0, 15.0)
    five = of.summary([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (five.low, five.high, five.q1, five.q3) == (1.0, 5.0, 2.0, 4.0)


@given(NUMBERS)
def test_a_summary_is_in_order_and_knows_no_order_of_rounds(values):
    found = of.summary(values)
    assert min(values) <= found.low <= found.q1 <= found.median <= found.q3 <= found.high <= max(values) or found.n > 7
    assert found.low <= found.median <= found.high and found == of.summary(values[::-1])


def test_ratios_are_of_pairs():
    assert of.ratios([2.0, 8.0], [1.0, 2.0]) == [2.0, 4.0]
    with pytest.raises(ValueError, match="taken in turns"):
        of.ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize("one, other, same", [
    ([1.0, 1.1, 1.2, 1.3, 1.4], [1.35, 1.5, 1.6, 1.7, 1.8], True),          # the ranges touch
    ([1.0, 1.1, 1.2, 1.3, 1.4], [1.5, 1.6, 1.7, 1.8, 1.9], False),          # wholly beyond each other
    ([100.0, 100.0], [100.9, 100.9], True),                                 # below the resolution
    ([100.0, 100.0], [102.0, 102.0], False)])
def test_two_runs_agree_within_their_noise(one, other, same):
    assert of.same(of.summary(one), of.summary(other)) is same
    assert of.same(of.summary(other), of.summary(one)) is same


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
def test_a_power_is_found_again(exponent):
    fit = of.power([(x, 3 * x ** exponent) for x in (1, 2, 4, 8, 16)])
    assert fit.exponent == pytest.approx(exponent) and fit.scale == pytest.approx(3) and fit.high - fit.low < 1e-6
    assert fit.at(10) == pytest.approx(3 * 10 ** exponent)
    assert fit.reaches(30) == pytest.approx(10 ** (1 / exponent))


def test_noise_widens_the_exponents_interval_and_it_holds_the_truth():
    noisy = of.power([(x, x ** 1.2 * (1 + 0.05 * (-1) ** index)) for index, x in enumerate((1, 2, 4, 8, 16))])
    assert noisy.low < 1.2 < noisy.high and noisy.high - noisy.low > 0.02
    # by hand: least squares of three points, t of one degree of freedom
    three = of.power([(1, 1), (math.e, math.e ** 2), (math.e ** 2, math.e ** 3)])
    assert three.exponent == pytest.approx(1.5)
    assert three.high - three.exponent == pytest.approx(12.706 * math.sqrt(1 / 6 / 2))


@pytest.mark.parametrize("points", [[(1, 1), (2, 2)], [(1, 1), (1, 2), (1, 3)], [(0, 1), (1, 2), (2, 3)], [(1, 0), (2, 1), (3, 1)]])
def test_what_is_no_power_is_refused(points):
    with pytest.raises(ValueError, match="exponent needs"):
        of.power(points)


def test_a_flat_curve_reaches_nothing():
    assert of.power([(1, 5), (10, 5), (100, 5)]).reaches(6) is None
