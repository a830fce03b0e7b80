"""Memories found by their words."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.experience import Experience
from edge_sleep.data.retrieve import Memories


def made(*talk: tuple[str, str]) -> list[Experience]:
    return [Experience(str(number), prompt, response, "s", {}) for number, (prompt, response) in enumerate(talk)]


TALK = made(("What is the name of the boat?", "The boat is called Heron."), ("Where does the lamp stand?", "Beside the radio."),
            ("Who waters the ferns?", "Grandfather, on Sundays."), ("Which gardens did we see?", "The gardens of the palace."))


def ids(question: str, most: int = 3) -> list[str]:
    return [item.id for item in Memories(TALK).top(question, most)]


def test_the_one_that_was_asked_about_comes_first():
    assert ids("Do you know how our boat is called?")[0] == "0"
    assert ids("Does grandfather water anything?")[0] == "2"
    assert ids("the garden")[0] == "3"


def test_nothing_in_common_finds_nothing():
    assert ids("Quantum chromodynamics?") == [] == ids("") == ids("what is the of and")
    assert Memories([]).top("boat", 3) == []


def test_a_rare_word_counts_more_than_a_common_one():
    talk = made(*((f"Tell me about the boat number {number}", "A boat.") for number in range(20)), ("The heron", "A bird."))
    assert Memories(talk).top("boat heron", 1)[0].id == "20"


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=8), st.text(max_size=30), st.integers(0, 5))
def test_whatever_was_said_the_order_is_fixed_and_no_longer_than_asked(talk, question, most):
    memories = Memories(made(*talk))
    found = memories.top(question, most)
    assert len(found) <= most and found == memories.top(question, most)
    assert len({item.id for item in found}) == len(found)
