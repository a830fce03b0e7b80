"""A promotion that breaks in use is taken back by the next night, and only where the interval says so."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.checkpoint import store
from edge_sleep.data.buffer import Buffer
from edge_sleep.evaluate.day import answers_by_adapter, difference, wilson, worse
from edge_sleep.system.events import read_events
from edge_sleep.system.home import Home
from tests import micro


@pytest.mark.parametrize(("now", "before", "taken_back"), [
    ((20, 60), (2, 60), True), ((4, 60), (2, 60), False), ((60, 60), (0, 60), True), ((2, 60), (20, 60), False),
    ((15, 19), (0, 100), False), ((15, 40), (0, 19), False), ((0, 0), (0, 0), False), ((10, 40), (10, 40), False)])
def test_it_takes_enough_answers_and_an_interval_above_zero(now, before, taken_back):
    why = worse(now, before)
    assert (why is not None) == taken_back
    if why:
        assert f"{now[0]} of {now[1]}" in why and f"{before[0]} of {before[1]}" in why


def test_the_intervals_are_the_published_ones():
    """Newcombe 1998, table II, method 10: 56/70 against 48/80, and 9/10 against 3/10."""
    assert difference((56, 70), (48, 80)) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert difference((9, 10), (3, 10)) == (pytest.approx(0.1705, abs=1e-4), pytest.approx(0.8090, abs=1e-4))
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_of_no_answers_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_an_interval_holds_its_difference_and_turns_with_it(n, m, data):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    low, high = difference((a, n), (b, m))
    assert low - 1e-9 <= a / n - b / m <= high + 1e-9
    again = difference((b, m), (a, n))
    assert again == (pytest.approx(-high), pytest.approx(-low))


def talked(folder, number, adapter, answers):
    folder.mkdir(parents=True, exist_ok=True)
    turns = [turn for place, answer in enumerate(answers) for turn in (
        {"speaker": "Claude", "text": f"Tell me about thing {number}-{place}, please."}, {"speaker": "SAGE", "text": answer})]
    (folder / f"session_{number:03}.json").write_text(json.dumps({
        "session": number, "phase": "relating", "start": "2026-01-18T20:00:00", "conversation": turns,
        "edge_sleep": {"base": "b", "adapter": adapter}}))


LOOP = "I think that is so good and I think that is so good and I think that is so good and I think that is so good."


@pytest.mark.night
def test_the_next_night_takes_it_back_first_and_says_so(micro_home, tmp_path):
    home = Home(micro_home.root)
    adapter = store.incumbent(home)
    days = tmp_path / "days"
    for number in range(10, 13):
        talked(days, number, None, [f"The thing numbered {number} {place} is made of {word} wood." for place, word in enumerate(
            ("oak", "elm", "ash", "pine", "yew", "fir", "beech", "lime", "cedar", "birch"))])
        talked(days, number + 10, adapter, [LOOP.replace("good", f"good {number}{place}") for place in range(10)])
    record = micro.night(micro_home.root, micro_home.model, days, "data.min_new=500")
    assert (record["outcome"], store.incumbent(home), record["parent"]) == ("nothing_to_do", None, None)
    assert record["rolled_back"]["from"] == adapter and "30 of 30 answers broke" in record["rolled_back"]["reason"]
    assert "was taken back" in (home.night(record["night"]) / "report.txt").read_text()
    assert [event["adapter"] for event in read_events(home.night(record["night"]) / "events.jsonl")
            if event["event"] == "rolled_back"] == [adapter]
    again = micro.night(micro_home.root, micro_home.model, days, "data.min_new=500")
    assert "rolled_back" not in again


@pytest.mark.night
def test_a_day_like_the_one_before_changes_nothing(micro_home, tmp_path):
    home = Home(micro_home.root)
    adapter = store.incumbent(home)
    for number, who in ((10, None), (11, None), (12, adapter), (13, adapter)):
        talked(tmp_path / "days", number, who, [f"Thing {number} {place}: I keep it near the {place * number} window."
                                                for place in range(12)])
    record = micro.night(micro_home.root, micro_home.model, tmp_path / "days", "data.min_new=500")
    assert "rolled_back" not in record and store.incumbent(home) == adapter
    with Buffer(home.experiences) as buffer:
        assert answers_by_adapter(buffer)[adapter][1] == 24
