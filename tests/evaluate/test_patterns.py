"""Themes, associations and qualities from counts that can be done by hand."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.experience import Experience
from edge_sleep.evaluate.patterns import log_likelihood, patterns

EVEN = {"surprise": 0.5, "novelty": 0.5, "arousal": 0.5, "reward": 0.5, "conflict": 0.5, "total": 0.5}


def item(number: int, prompt: str, response: str, session: str = "a", **salience: float) -> Experience:
    return Experience(f"{number:04}", prompt, response, session, {**EVEN, **salience})


GARDEN = [item(n, "How are the bees in the garden?", f"The bees love the garden {word}.", session="ab"[n % 2])
          for n, word in enumerate(("lavender", "thyme", "borage", "clover"))]
HARBOUR = [item(10 + n, "Which boat came?", f"The boat in the harbour was the {word}.", session="cd"[n % 2], total=0.9)
           for n, word in enumerate(("heron", "gannet", "tern"))]


def test_words_that_come_together_are_one_theme_and_weigh_what_they_moved():
    found = patterns([*GARDEN, *HARBOUR], [])
    themes = {frozenset(theme["words"]): theme for theme in found["themes"]}
    garden, harbour = themes[frozenset({"bees", "garden", "love"})], themes[frozenset({"boat", "harbour", "came"})]
    assert (garden["experiences"], garden["sessions"], garden["weight"]) == (4, 2, 2.0)
    assert (harbour["experiences"], harbour["weight"]) == (3, 2.7)
    assert found["themes"][0] == harbour
    assert garden["examples"] == ["0000", "0001", "0002"]


def test_an_association_takes_two_sessions_and_more_than_chance():
    strangers = [item(100 + n, "Anything else?", f"Nothing {word} today.", session="z") for n, word in enumerate(
        ("northerly", "southerly", "easterly", "westerly", "upward", "downward", "inward", "outward", "forward", "backward"))]
    found = patterns([*GARDEN, *HARBOUR, *strangers], [])
    pairs = [tuple(sorted(pair["words"])) for pair in found["associations"]]
    assert ("bees", "garden") in pairs and ("boat", "harbour") in pairs
    assert ("else", "nothing") not in pairs                     # one session alone


def test_the_ratio_is_dunnings():
    """His 1993 paper, "the swiss" beside all else: 110, 2442, 111, 29114 give 270.72."""
    assert log_likelihood(110, 110 + 2442, 110 + 111, 110 + 2442 + 111 + 29114) == pytest.approx(270.72, abs=0.01)
    assert log_likelihood(25, 50, 50, 100) == pytest.approx(0.0, abs=1e-9)


def test_qualities_that_went_with_answers_that_held():
    held = [item(n, "q", "r", reward=0.8 + 0.01 * (n % 3)) for n in range(8)]
    broke = [item(50 + n, "q", "r", reward=0.2 + 0.01 * (n % 3)) for n in range(8)]
    rows = {row["name"]: row for row in patterns(held, broke)["qualities"]}
    assert rows["reward"]["low"] > 0.5 and rows["reward"]["n"] == [8, 8]
    assert rows["novelty"]["low"] == 0.0 == rows["novelty"]["high"]
    assert patterns(held, broke[:2])["qualities"] == []


def test_memories_are_the_most_salient():
    found = patterns([*GARDEN, *HARBOUR], [], most=3)["memories"]
    assert [memory["id"] for memory in found] == ["0010", "0011", "0012"]


def test_of_nothing_nothing_is_dreamt():
    found = patterns([], [])
    assert (found["themes"], found["associations"], found["qualities"], found["memories"]) == ([], [], [], [])


@given(st.lists(st.builds(item, st.integers(0, 99), st.text(max_size=40), st.text(max_size=40), st.sampled_from("abc")), max_size=8))
def test_whatever_was_said_it_is_json_and_the_same_again(items):
    once = json.dumps(patterns(items, items[:3]), allow_nan=False)
    assert once == json.dumps(patterns(items, items[:3]), allow_nan=False)
