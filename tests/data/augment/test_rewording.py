import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_sleep.data.augment import rewording, wordings
from edge_sleep.data.augment.facts import facts
from edge_sleep.data.augment.grammar import indirect_clause, is_question, reported_clause
from edge_sleep.data.augment.moves import MOVES
from edge_sleep.data.augment.rewording import Wording, probe_rewordings

ASKS = ["What is", "Who is", "Where is", "How old is", "Why is", "What's", "Which is", "When was", "Is", "Does", "Can", "Will", "May"]
SUBJECTS = ["my sister's name", "Lena", "Max's dog", "the number 42", "our 3rd car", "Will", "May", "the town of Ostrel",
            "my brother, not my cousin", "nobody's home", "don't ask", "no dog of mine", "McGregor", "Is", "I", "Rosa's 7 cats"]
TAILS = ["?", "", " today?", " at 9:30?", " and never Anna?", " in Rome?", "."]
prompts = st.builds(lambda a, b, c: f"{a} {b}{c}", st.sampled_from(ASKS), st.sampled_from(SUBJECTS), st.sampled_from(TAILS))
NEGATION = re.compile(r"\b(no|not|never|none|nobody|nothing|neither|nor|nowhere|without|cannot|\w+n['’]t)\b", re.IGNORECASE)


def wordings_of(prompt: str, n: int, seed: int) -> list[Wording]:
    return rewording.reworded(prompt, n, seed, tuple(MOVES))


def reworded(prompt: str, n: int, seed: int) -> list[str]:
    return [wording.text for wording in wordings_of(prompt, n, seed)]


def names(text: str) -> list[str]:
    """Capitalised words that do not begin a sentence."""
    return re.findall(r"(?<![.!?:] )(?<!^)\b[A-Z]\w*", text)


@settings(max_examples=100, deadline=None)
@given(prompts, st.integers(0, 5))
def test_no_number_name_or_negation_changes(prompt, seed):
    for candidate in reworded(prompt, 40, seed) + probe_rewordings(prompt, 12, seed):
        assert re.findall(r"\d+", candidate) == re.findall(r"\d+", prompt)
        assert sorted(NEGATION.findall(candidate.lower())) == sorted(NEGATION.findall(prompt.lower()))
        for name in names(prompt):
            assert re.search(rf"\b{name}\b", candidate) or name in ("Is",)
        for name in ("Lena", "Max", "Will", "May", "Ostrel", "McGregor", "Rosa", "Anna", "Rome"):
            assert candidate.count(name) == prompt.count(name)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.integers(0, 3), st.integers(0, 20))
def test_any_text_gives_distinct_wordings_that_keep_its_facts(prompt, seed, n):
    found = reworded(prompt, n, seed)
    assert len(found) == len(set(found)) <= n and prompt.strip() not in found and found == reworded(prompt, n, seed)
    for candidate in found:
        assert facts(candidate) == facts(prompt.strip())


@settings(max_examples=50, deadline=None)
@given(prompts)
def test_probes_are_never_what_training_sees(prompt):
    assume(is_question(prompt))
    taught = {text for seed in range(2) for text in reworded(prompt, 40, seed)}
    assert taught.isdisjoint(probe_rewordings(prompt, 40))


def test_frames_are_disjoint():
    assert not set(wordings.FRAMES) & set(wordings.PROBE_FRAMES) and not set(wordings.INDIRECT) & set(wordings.PROBE_INDIRECT)


@pytest.mark.parametrize(("question", "clause"), [
    ("What is my sister's name?", "what my sister's name is"), ("Who's the mayor of Ostrel?", "who the mayor of Ostrel is"),
    ("Where are my keys?", "where my keys are"), ("How old is my brother?", "how old my brother is"),
    ("What colour is my car?", "what colour my car is"), ("Where is my sister living?", None),
    ("What is your name and who are you?", None), ("Why is it so?", None), ("Where do you live?", None),
    ("What's on your mind today?", None), ("Tell me.", None)])
def test_indirect_questions(question, clause):
    assert indirect_clause(question) == clause


@pytest.mark.parametrize(("text", "expected"), [
    ("What is it", True), ("Is it so", True), ("Will is my brother.", False), ("May is warm.", False), ("You like tea?", True),
    ("My sister is Lena.", False), ("", False), ("Tell me a story.", False), ("どうして？", True)])
def test_is_question(text, expected):
    assert is_question(text) is expected


def test_statements_are_framed_as_statements_and_never_probed():
    assert all("My sister is Lena." in text for text in reworded("My sister is Lena.", 5, 0))
    assert len(reworded("My sister is Lena.", 5, 0)) == 5 and probe_rewordings("My sister is Lena.", 5) == []


def test_enough_wordings_for_a_night():
    assert len(reworded("What is my sister's name?", 12, 3)) == 12 and len(probe_rewordings("What is it?", 8)) == 8
    assert reworded("What is my sister's name?", 12, 3) != reworded("What is my sister's name?", 12, 4)


def test_every_wording_says_which_move_made_it():
    found = wordings_of("My sister is Lena. I have a large garden. What is my favourite beverage?", 40, 3)
    assert {"frame", "surface", "register", "synonym", "order", "situation"} <= {wording.move for wording in found}
    assert "standpoint" in {wording.move for wording in wordings_of("Where do I live?", 40, 3)}


def test_moves_that_change_words_take_part_only_where_they_are_named():
    prompt = "Where do I live?"
    assert {one.move for one in rewording.reworded(prompt, 60, 1)} <= {"frame", "indirect", "surface"}
    assert {one.move for one in rewording.reworded(prompt, 60, 1, ["situation"])} <= {"frame", "indirect", "surface", "situation"}


def test_every_word_is_kept_in_the_first_three():
    for prompt in ("What is my sister's name?", "Where do I live?", "I have a large sofa. Tell me where the large sofa stands."):
        assert {wording.move for wording in wordings_of(prompt, 3, 1)} <= {"frame", "indirect", "surface"}
        assert wordings_of(prompt, 12, 1)[:3] == wordings_of(prompt, 3, 1)


@pytest.mark.parametrize(("question", "clause"), [
    ("Where do I live?", "where I live"), ("What colour do they like?", "what colour they like"), ("How do you do?", None),
    ("What do you do and why?", None), ("Why do you never sleep?", None), ("What is my name?", "what my name is")])
def test_reported_questions(question, clause):
    assert reported_clause(question) == clause
