from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_sleep.remote.backoff import REQUEST, Policy, goes_on, pause


@pytest.mark.parametrize("attempt, retry_after, draw, seconds", [
    (1, None, 0.0, 0.5), (1, None, 1.0, 1.0), (2, None, 1.0, 2.0), (5, None, 1.0, 16.0), (7, None, 1.0, 60.0), (99, None, 1.0, 60.0),
    (10 ** 9, None, 1.0, 60.0), (0, None, 1.0, 1.0), (1, 7, 0.0, 7.0), (1, 7, 1.0, 7.7), (7, 7, 1.0, 60.0), (1, 0, 1.0, 1.0)])
def test_the_pause(attempt, retry_after, draw, seconds):
    assert pause(attempt, retry_after, draw) == pytest.approx(seconds)


@given(some.integers(1, 10 ** 6), some.none() | some.floats(0, 10 ** 6), some.floats(0, 1, exclude_max=True))
def test_a_pause_is_long_enough_and_ends(attempt, retry_after, draw):
    for policy in (REQUEST, Policy(60.0, 6 * 3600.0)):
        seconds = pause(attempt, retry_after, draw, policy)
        assert seconds >= (retry_after or 0) and seconds >= policy.first_seconds / 2
        assert seconds <= max(policy.longest_seconds, 1.1 * (retry_after or 0))
        assert pause(attempt + 1, retry_after, draw, policy) >= seconds, "it never gets shorter by trying more often"


@pytest.mark.parametrize("attempt, wait, on", [(1, 1, True), (4, 60, True), (5, 1, False), (1, 120, True), (1, 121, False)])
def test_when_it_is_left_to_the_caller(attempt, wait, on):
    assert goes_on(attempt, wait) is on


def test_a_policy_without_patience_asks_once():
    assert not goes_on(1, 0, Policy(attempts=1))
