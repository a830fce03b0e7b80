"""Whose job is next, as tables."""
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.thor import ledger, queue
from edge_sleep.thor.queue import Begun, Waiting

NOW = datetime(2026, 1, 18, 1, tzinfo=timezone.utc)


def at(hours: float | None) -> datetime | None:
    return None if hours is None else NOW + timedelta(hours=hours)


def order(waiting: list[tuple[str, str, float | None]], begun: list[tuple[str, str, float]] = ()) -> list[str]:
    turns = queue.order([Waiting(job, home, at(hours)) for job, home, hours in waiting],
                        [Begun(job, home, 3600 * ago) for job, home, ago in begun], NOW)
    return [turn.job for turn in turns]


@pytest.mark.parametrize("waiting, begun, wanted", [
    pytest.param([], [], [], id="nothing"),
    pytest.param([("a1", "a", 5), ("b1", "b", 3), ("c1", "c", 4)], [], ["b1", "c1", "a1"], id="the earliest morning first"),
    pytest.param([("a1", "a", None), ("b1", "b", 9)], [], ["b1", "a1"], id="who says no morning comes after who does"),
    pytest.param([("a1", "a", 1), ("a2", "a", 1), ("a3", "a", 1), ("b1", "b", 9)], [], ["a1", "b1", "a2", "a3"],
                 id="many of one companion do not stand before one of another"),
    pytest.param([("a2", "a", 1), ("b1", "b", 9)], [("a1", "a", 1)], ["b1", "a2"], id="nor when its first was done before"),
    pytest.param([("a2", "a", 1), ("b1", "b", 9)], [("a1", "a", 13)], ["a2", "b1"], id="yesterday's are forgotten"),
    pytest.param([("a1", "a", 9), ("b1", "b", 8)], [("a1", "a", 0)], ["b1", "a1"], id="its own earlier try counts against no job"),
    pytest.param([("a1", "a", 9), ("a2", "a", 1)], [("a1", "a", 0)], ["a1", "a2"], id="what was begun comes before the rest of its home"),
    pytest.param([("a1", "a", -2), ("b1", "b", 3)], [], ["b1", "a1"], id="a morning that has passed is tomorrow's"),
    pytest.param([("a1", "a", -20), ("b1", "b", 5)], [], ["a1", "b1"], id="which may be near"),
    pytest.param([("a2", "a", 1), ("b2", "b", 2), ("c2", "c", 3)], [("a1", "a", 0), ("b1", "b", 0), ("b0", "b", 0)],
                 ["c2", "a2", "b2"], id="rounds before mornings")])
def test_next(waiting: list, begun: list, wanted: list[str]) -> None:
    assert order(waiting, begun) == wanted


def test_every_turn_says_why() -> None:
    one, other = queue.order([Waiting("a", "h", at(2.5)), Waiting("b", "h")], [], NOW)
    assert one.reason == "round 0 of its companion, 2.5 h until its morning"
    assert other.reason == "round 1 of its companion, it says no morning"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(-48, 48))), max_size=40),
       st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20)), max_size=20))
def test_all_that_wait_have_one_turn_and_no_companion_is_ahead_of_its_round(jobs: list, begun: list) -> None:
    waiting = [Waiting(f"job{n}", f"home{home}", at(hours)) for n, (home, hours) in enumerate(jobs)]
    turns = queue.order(waiting, [Begun(f"old{n}", f"home{home}", 3600 * ago) for n, (home, ago) in enumerate(begun)], NOW)
    assert sorted(turn.job for turn in turns) == sorted(one.job for one in waiting)
    assert [turn.round for turn in turns] == sorted(turn.round for turn in turns)
    for home in {one.home for one in waiting}:
        had = sum(f"home{other}" == home and ago <= 12 for other, ago in begun)
        assert [turn.round for turn in turns if turn.home == home] == [had + n for n in range(sum(one.home == home for one in waiting))]


@pytest.mark.parametrize("state, counts", [(ledger.WORKING, True), (ledger.DELIVERED, True), (ledger.LOST, True),
                                           (ledger.GIVEN_BACK, True), (ledger.DECLINED, False)])
def test_what_counts_as_begun(state: str, counts: bool) -> None:
    record = ledger.blank("worker", "a" * 32, state) | {"home": "h", "taken": at(-1).isoformat()}
    assert queue.begun([record, record | {"taken": None}], NOW) == ([Begun("a" * 32, "h", 3600.0)] if counts else [])
