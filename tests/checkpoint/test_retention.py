"""Which adapters stay: by table, and over years of nights that were promoted, rejected and rolled back."""
from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.checkpoint.retention import Made, decide

RULES = {"daily": 7, "weekly": 4, "monthly": 6}
NONE = {"daily": 0, "weekly": 0, "monthly": 0}


def fates(made, current=None, pinned=None, **rules):
    return {decision.adapter: decision for decision in decide(made, current=current, pinned=pinned or {}, **{**NONE, **rules})}


def kept(made, current=None, pinned=None, **rules):
    return {name for name, decision in fates(made, current, pinned, **rules).items() if decision.kept}


def alone(*days):
    """Adapters that grew on the base itself, so that no chain keeps them."""
    return [Made(day, None, f"{day}T03:00:00+00:00") for day in days]


@pytest.mark.parametrize(("days", "rules", "stay"), [
    ([], {"daily": 7}, set()),
    (["2026-01-01"], {}, set()),
    (["2026-01-01", "2026-01-02", "2026-01-03"], {"daily": 2}, {"2026-01-02", "2026-01-03"}),
    # Days without a night take no slot.
    (["2025-06-01", "2026-01-03"], {"daily": 2}, {"2025-06-01", "2026-01-03"}),
    # Sunday and Monday are two weeks; the last days of 2025 belong to the first week of 2026.
    (["2026-01-04", "2026-01-05"], {"weekly": 2}, {"2026-01-04", "2026-01-05"}),
    (["2025-12-29", "2026-01-04"], {"weekly": 2}, {"2026-01-04"}),
    (["2025-12-30", "2025-12-31", "2026-01-01", "2026-02-01"], {"monthly": 2}, {"2026-01-01", "2026-02-01"}),
    # One adapter may be the newest of its day, week and month.
    (["2026-03-31", "2026-04-01"], {"daily": 1, "weekly": 1, "monthly": 2}, {"2026-03-31", "2026-04-01"}),
    # A clock that was not set is an old date and pushes nothing out.
    (["1970-01-01", "2026-01-02", "2026-01-03"], {"daily": 2}, {"2026-01-02", "2026-01-03"}),
    # One that leapt ahead takes one slot.
    (["2026-01-02", "2026-01-03", "2099-01-01"], {"daily": 2}, {"2026-01-03", "2099-01-01"}),
])
def test_which_of_them_stay(days, rules, stay):
    assert kept(alone(*days), **rules) == stay


def test_the_newest_of_a_day_is_the_last_in_time_wherever_it_was():
    made = [Made("early", None, "2026-01-01T22:00:00-05:00"), Made("late", None, "2026-01-01T23:00:00-05:00"),
            Made("elsewhere", None, "2026-01-01T23:30:00+09:00")]
    assert kept(made, daily=1) == {"late"}


def test_where_the_clock_stood_still_the_child_is_the_newer():
    made = [Made("b", None, "1970-01-01T00:00:00+00:00"), Made("a", "b", "1970-01-01T00:00:00+00:00")]
    assert fates(made, daily=1)["a"].reason == "newest of 1970-01-01"


def test_what_a_kept_one_grew_from_is_kept_back_to_the_base():
    made = [Made("a", None, "2026-01-01T00:00:00+00:00"), Made("b", "a", "2026-01-02T00:00:00+00:00"),
            Made("c", "b", "2026-01-03T00:00:00+00:00"), Made("x", "a", "2026-01-02T12:00:00+00:00")]
    found = fates(made, current="c")
    assert {name for name, decision in found.items() if decision.kept} == {"a", "b", "c"}
    assert [found[name].reason for name in "abc"] == ["b grew from it", "c grew from it", "current"]
    assert "nothing that is kept grew from it" in found["x"].reason


def test_reasons_are_all_told_and_the_newest_comes_first():
    made = alone("2026-01-01", "2026-01-02")
    found = decide(made, current="2026-01-01", pinned={"2026-01-01": "the unfinished night n needs it", "gone": "?"}, **RULES)
    assert [decision.adapter for decision in found] == ["2026-01-02", "2026-01-01"]
    assert found[0].reason == "newest of 2026-01-02; newest of week 2026-W01; newest of 2026-01"
    assert found[1].reason == "current; the unfinished night n needs it; newest of 2026-01-01"


@pytest.mark.parametrize("created", ["", "None", "yesterday", "2026-13-01T00:00:00"])
def test_what_has_no_date_stays(created):
    assert fates([Made("a", None, created)])["a"].reason == "its date cannot be read"


def test_a_circle_of_parents_ends():
    assert kept([Made("a", "b", "2026-01-01"), Made("b", "a", "2026-01-02")], current="a") == {"a", "b"}


def live(seed, nights, clock, promoted=0.7, rolled_back=0.1):
    """Years of nights with a prune after each; returns the most adapters and what lies there at the end."""
    chance = random.Random(seed)
    here: dict[str, Made] = {}
    current: str | None = None
    most = 0
    for night in range(nights):
        if chance.random() < promoted:
            new = Made(f"{night:04}", current, clock(night, chance))
            here[new.id] = new
            current = new.id
        if chance.random() < rolled_back:
            far = chance.choice((1, 1, 1, 10, 100))
            for _ in range(far):
                current = here[current].parent if current is not None else None
        pinned = {chance.choice(sorted(here)): "pinned"} if here and chance.random() < 0.1 else {}
        decisions = decide(here.values(), current=current, pinned=pinned, **RULES)
        assert {decision.adapter for decision in decisions} == set(here)
        here = {decision.adapter: here[decision.adapter] for decision in decisions if decision.kept}
        assert current is None or current in here
        assert set(pinned) <= set(here)
        for made in here.values():
            assert made.parent is None or made.parent in here, f"night {night}: {made.id} lost {made.parent}"
        most = max(most, len(here))
    return most, here, current


BEGIN = datetime(2026, 1, 17, 3, tzinfo=timezone.utc)


def true_clock(night, chance):
    return (BEGIN + timedelta(days=night)).isoformat()


def leaping_clock(night, chance):
    """Every tenth night begins before the network has set the clock; once it is 2099; now and then the year is wrong."""
    if chance.random() < 0.1:
        return f"1970-01-01T00:{chance.randrange(60):02}:00+00:00"
    if night == 50:
        return "2099-01-01T00:00:00+00:00"
    leap = chance.choice((0, 0, 0, 0, -400, 30)) if chance.random() < 0.2 else 0
    return (BEGIN + timedelta(days=night + leap, hours=chance.randrange(20))).isoformat()


@pytest.mark.parametrize("clock", [true_clock, leaping_clock])
@pytest.mark.parametrize("years", [1, 3])
def test_years_of_nights(years, clock):
    for seed in range(4 if years == 1 else 1):
        live(seed, 365 * years, clock)


def test_nights_that_only_continue_all_stay():
    """Each grew from the one before, so a year of them is 365 adapters: the rules let go of what was rolled back."""
    most, here, current = live(1, 365, true_clock, promoted=1.0, rolled_back=0.0)
    assert len(here) == most == 365 and current == "0364"


def test_what_is_off_the_lineage_does_not_pile_up():
    """A year of nights that were each rolled back to the base: no more than the rules' own numbers."""
    made = [Made(f"{night:04}", None, true_clock(night, None)) for night in range(365)]
    assert len(kept(made, **RULES)) <= 7 + 4 + 6
    assert max(kept(made, **RULES)) == "0364"


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), nights=st.integers(1, 60), promoted=st.floats(0, 1), rolled_back=st.floats(0, 1))
def test_any_life(seed, nights, promoted, rolled_back):
    live(seed, nights, leaping_clock, promoted, rolled_back)
