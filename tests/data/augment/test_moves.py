"""The moves that change words: what they may touch, and what makes them keep their hands off."""
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.augment import moves, wordings
from edge_sleep.data.augment.facts import NEGATIONS, facts
from edge_sleep.data.augment.rewording import reworded
from edge_sleep.data.words import sentences, words

WORDS = sorted({*wordings.SYNONYMS, *(word for pair in wordings.FORMAL_CASUAL for word in pair)})
FILLERS = ["my", "the", "Lena's", "a", "garden", "never", "42", "don't", "Rome", "in", "and", "not", "McGregor", "7th", "no", "is"]
prompts = st.lists(st.sampled_from([*WORDS, *FILLERS]), min_size=1, max_size=9).map(
    lambda parts: "What is " + " ".join(parts) + "?")


def run(move, text, seed=0):
    return moves.MOVES[move](text, random.Random(seed))


@given(prompts, st.integers(0, 5))
def test_no_number_name_or_negation_changes(prompt, seed):
    for wording in reworded(prompt, 60, seed, tuple(moves.MOVES)):
        assert re.findall(r"\d+", wording.text) == re.findall(r"\d+", prompt)
        assert facts(wording.text) == facts(prompt)
        for name in ("Lena", "Rome", "McGregor"):
            assert wording.text.count(name) == prompt.count(name)
        for negation in (*NEGATIONS, "don't"):
            assert words(wording.text).count(negation) == words(prompt).count(negation)


@given(prompts, st.integers(0, 5))
def test_a_synonym_stands_for_one_word_of_the_list_and_the_rest_stays(prompt, seed):
    for candidate in run("synonym", prompt, seed):
        old, new = prompt.split(), candidate.replace("at once", "at_once").split()
        changed = [(before.strip("?"), after.strip("?")) for before, after in zip(old, new, strict=True) if before != after]
        assert changed and all(wordings.SYNONYMS[before] == after for before, after in changed)


@pytest.mark.parametrize(("text", "expected"), [
    ("Where is my large sofa?", {"Where is my big sofa?", "Where is my large couch?", "Where is my big couch?"}),
    ("How do you spell \"large\"?", set()), ("What is the opposite of large?", set()), ("Is the thief at large?", set()),
    ("Who owns an automobile?", set()), ("Who owns the automobile?", {"Who owns the car?"}), ("Is Large my name?", set()),
    ("Is my sofa-bed new?", set()), ("What is my big brother called?", set())])
def test_synonyms(text, expected):
    assert set(run("synonym", text)) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("What's my kids' school?", {"What is my kids' school?"}), ("Where are the kids?", {"Where are the children?"}),
    ("Can you tell me where the children are?", {"Could you please tell me where the children are?",
                                                  "Can you tell me where the kids are?"}),
    ("Can you swim?", set()), ("What's happened?", set()), ("Where is Mum?", set()), ("What does \"kids\" mean?", set()),
    ("I'm at home. What's the plan?", {"I am at home. What is the plan?"}), ("Could you not tell me?", set())])
def test_register(text, expected):
    assert set(run("register", text)) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("I have a dog. My sister lives in Rome. Where does my sister live?",
     {"My sister lives in Rome. I have a dog. Where does my sister live?"}),
    ("I have a dog. It is brown. What colour is my dog?", set()),            # leans on the sentence before
    ("I bought a dog. I sold a cat. What have I got?", set()),               # told in the order in which it happened
    ("I have a dog. Where is my dog?", set()), ("Is it so? I have a dog. I have a cat.", set()),
    ("My dog is Rex. My cat is Momo.", {"My cat is Momo. My dog is Rex."}),
    ("My dog is Rex. My cat is Momo. What is it called?", set()), ("Dr. Moor is my doctor. I have a cat. Who is Dr. Moor?", set())])
def test_order(text, expected):
    assert set(run("order", text)) == expected


@given(st.lists(st.sampled_from(["My dog is Rex.", "I have 3 cats.", "I live in Rome.", "Anna likes tea.", "We own no car."]),
                min_size=2, max_size=5, unique=True))
def test_another_order_is_the_same_sentences(parts):
    for candidate in run("order", " ".join(parts)):
        assert sorted(sentences(candidate)) == sorted(parts) and list(sentences(candidate)) != parts


def test_a_situation_says_nothing_about_what_is_asked():
    for candidate in run("situation", "Where is the kettle?"):
        assert candidate.count("kettle") == 1 and candidate.endswith("Where is the kettle?")
    assert run("situation", "Tell me a story.") == []


def test_a_standpoint_turns_no_pronoun():
    for candidate in run("standpoint", "What is my sister's name?"):
        assert "my sister's name is" in candidate
    assert run("standpoint", "Is my sister here?") == [] and run("standpoint", "Tell me more.") == []


def test_the_lists_bring_no_number_or_negation():
    brought = [*wordings.SITUATIONS, *wordings.STANDPOINTS, *wordings.SYNONYMS.values()]
    for text in brought:
        numbers, _, negations = facts(text.format(i="", Q="", q=""))
        assert not numbers and not negations
