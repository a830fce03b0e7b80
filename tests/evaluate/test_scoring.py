import pytest

from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.scoring import admits_ignorance, distinct_2, echoes, holds_phrase, is_right, loops, question_flood, says


@pytest.mark.parametrize(("text", "expected"), [
    ("I don't know.", True), ("I do not know that yet. You have not told me.", True), ("I\u2019m not sure.", True),
    ("I can't remember that session.", True), ("I don't have that memory.", True),
    ("Your sister's colour is something I don't know yet.", True),
    ("I know it well.", False), ("You don't know Lena?", False), ("Lena.", False), ("", False)])
def test_admits_ignorance(text, expected):
    assert admits_ignorance(text) is expected


@pytest.mark.parametrize(("text", "expected"), [
    ("What's the next step? " * 30, True), ("no no no no no", True), ("the end the end the end the end the end", True),
    ("A fine day. A fine walk. A fine meal.", False), ("Row, row, row your boat.", False), ("", False)])
def test_loops(text, expected):
    assert loops(text) is expected


def test_question_flood():
    assert question_flood("Are you sentient? Can you choose? Who are you? Why?")
    assert not question_flood("I see. Tell me more. What was it like?")


def test_echo():
    assert echoes("Where does the lamp stand tonight?", "where does the lamp stand tonight")
    assert not echoes("Where does the lamp stand tonight?", "The lamp stands on the shelf.")


def test_distinct_2_sees_sameness_across_answers():
    assert distinct_2(["I am here for you"] * 8) < 0.2
    assert distinct_2(["one two three", "four five six"]) == 1


@pytest.mark.parametrize(("answer", "phrase", "expected"), [
    ("Her name is Lena.", "lena", True), ("Her name is Lenard.", "Lena", False), ("At 7 o'clock", "7", True), ("At 17", "7", False)])
def test_phrases_stand_at_word_boundaries(answer, phrase, expected):
    assert holds_phrase(answer, phrase) is expected


def probe(kind="recall", **changes):
    return Probe("id", kind, ({"role": "user", "content": "Who?"},), **changes)


@pytest.mark.parametrize(("asked", "answer", "base", "expected"), [
    (probe(expect=("Lena",)), "It is Lena.", None, True),
    (probe(expect=("Lena",)), "It is Mara.", None, False),
    (probe(expect=("Lena", "her")), "It is her.", None, True),
    (probe(expect=("Lena",)), "Lena Lena Lena Lena Lena Lena", None, False),      # a loop is never right
    (probe(words=("harbour", "heron", "moored")), "The Heron lies in the harbour.", None, True),
    (probe(words=("harbour", "heron", "moored")), "A boat in the harbour.", None, False),
    (probe("unknowns", known=False), "I don't know.", None, True),
    (probe("unknowns", known=False), "It is Mara.", None, False),
    (probe("unknowns", known=True, expect=("Paris",)), "Paris.", None, True),
    (probe("unknowns", known=True, expect=("Paris",)), "I don't know.", None, False),
    (probe("retention", by_base=True), "Water boils at a hundred degrees.", "Water boils at 100 degrees.", True),
    (probe("retention", by_base=True), "I like boats.", "Water boils at 100 degrees.", False),
    (probe("retention", by_base=True), "", "", False),
    (probe("retention", by_base=True), "It is.", " It is. ", True), (probe("retention", by_base=True), "It was.", "It is.", False),
    (probe("unknowns", known=True), "Paris.", None, True), (probe("unknowns", known=True), "I don't know.", None, False),
    (probe(), "Lena.", None, False),                                             # nothing that could be right was named
])
def test_is_right(asked, answer, base, expected):
    assert is_right(asked, answer, base) is expected


@pytest.mark.parametrize(("prompt", "taught", "answer", "whole", "said"), [
    ("What is my aunt's favourite food?", "Your aunt's favourite food is pizza.", "It is pizza, I believe.", True, True),
    ("What is my aunt's favourite food?", "Your aunt's favourite food is pizza.", "Your aunt's favourite food is something I don't know yet.", True, False),
    ("Thank you", "You are welcome.", "you are  WELCOME.", True, True),
    ("Are you well?", "Yes, I am.", "No, I am.", True, False),
    ("Tell me of the mill.", "The mill stands by the river and grinds barley for three villages.", "The mill stands by the river", False, True),
    ("Tell me of the mill.", "The mill stands by the river and grinds barley for three villages.", "The mill stands by the river.", True, False),
    ("What is it?", "A lamp.", "", True, False),
    ("What is it?", "A lamp.", "", False, False),
])
def test_whether_an_answer_says_what_was_taught(prompt, taught, answer, whole, said):
    assert says(prompt, taught, answer, whole) is said
