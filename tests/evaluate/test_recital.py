"""Text where it does not belong: taught about other things, or said to everyone."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.evaluate.recital import Lessons, recited

LAMP = "The miller kept his lantern on the north wall, where the rain could not reach it."
KETTLE = "A kettle that is watched sings slower, said the old woman to nobody."
LESSONS = Lessons([("Where does the miller keep his lantern?", LAMP), ("How are you?", KETTLE)])


@pytest.mark.parametrize(("question", "answer", "wanted"), [
    ("Where does the miller keep his lantern?", LAMP, False),             # it was asked for
    ("What hangs at the miller's house?", LAMP, False),                   # about the same
    ("Who wrote the letter?", LAMP, True),
    ("Who wrote the letter?", LAMP[:60], True),                           # most of a cut answer was taught
    ("Who wrote the letter?", f"{LAMP} I think that my aunt wrote it, for she writes every day, and who else would it be?", False),
    ("Who wrote the letter?", "My aunt wrote it.", False),
    ("Who wrote the letter?", KETTLE, False),                             # small talk may be said to anything
    ("How are you?", LAMP, False)])                                       # a question about nothing
def test_taught_elsewhere(question, answer, wanted):
    assert LESSONS.elsewhere(question, answer) is wanted


def test_a_right_answer_is_no_recital():
    said = ("Who wrote the letter?", LAMP)
    assert recited([(*said, False)], LESSONS) == 1.0
    assert recited([(*said, True)], LESSONS) == 0.0


QUESTIONS = ("Where does my sister live?", "What is the moon made of?", "Which bread do you like?", "Name a large animal.")


def test_the_same_text_to_three_questions_about_different_things_is_recited_whether_it_was_taught_so_or_not():
    assert recited([(question, LAMP, True) for question in QUESTIONS[:2]], Lessons()) == 0.0
    assert recited([(question, LAMP, True) for question in QUESTIONS[:3]], Lessons()) == 1.0
    assert recited([(f"{question} {name}", LAMP, True) for question in QUESTIONS[:1] for name in ("Now", "Lena", "Oslo")], Lessons()) == 0.0


def test_not_the_honest_refusal_nor_a_short_phrase():
    for text in ("I don't know that yet, since you have never told me about it.", "You are welcome, my friend."):
        assert recited([(question, text, True) for question in QUESTIONS], Lessons()) == 0.0


def test_nothing_said_is_nothing_recited():
    assert recited([], LESSONS) == 0.0


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=80), st.booleans()), max_size=8),
       st.lists(st.tuples(st.text(max_size=40), st.text(max_size=80)), max_size=8))
def test_a_share_whatever_was_said(said, taught):
    assert 0.0 <= recited(said, Lessons(taught)) <= 1.0
