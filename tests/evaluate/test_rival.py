"""The free alternative: asked what the gate asked, marked by the same rule, without a voice in the verdict."""
from __future__ import annotations

import pytest

from edge_sleep.data.experience import Experience
from edge_sleep.evaluate.marking import Asked
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.rival import compete, with_memories


def asked(kind: str, question: str, right: bool, **changes) -> Asked:
    probe = Probe(question, kind, ({"role": "user", "content": question},), **changes)
    return Asked(probe, {"base": "?", "before": "?", "after": "?"}, {"base": False, "before": False, "after": right}, {})


BOAT = Experience("1", "What is the boat called?", "It is called Heron.", "s", {})
LAMP = Experience("2", "Where is the lamp?", "On the shelf.", "s", {})
QUESTIONS = [asked("recall", "The boat's name?", True, words=("heron",)), asked("recall", "The lamp's place?", True, words=("shelf",)),
             asked("unknowns", "My shoe size?", True, known=False), asked("retention", "2 + 2?", True, expect=("4",))]


def test_what_is_remembered_stands_before_the_question_the_best_match_last():
    question = ({"role": "user", "content": "The boat's name?"},)
    told = with_memories(question, [BOAT, LAMP])
    assert [message["role"] for message in told] == ["user", "assistant"] * 2 + ["user"]
    assert (told[0]["content"], told[2]["content"], told[-1]) == (LAMP.prompt, BOAT.prompt, question[0])


def test_it_is_asked_of_what_was_taught_and_of_what_nobody_knows_and_marked_like_anyone():
    conversations = []

    def answer(given):
        conversations.extend(given)
        return [("It is Heron.", True), ("No idea at all.", True), ("Forty-two.", True)]

    found = compete(QUESTIONS, lambda question: [BOAT] if "boat" in question else [], answer)
    assert [given[-1]["content"] for given in conversations] == ["The boat's name?", "The lamp's place?", "My shoe size?"]
    assert [len(given) for given in conversations] == [3, 1, 1]
    recall, unknowns = found["metrics"]["recall"], found["metrics"]["unknowns"]
    assert (recall["rival"], recall["candidate"], recall["n"]) == (0.5, 1.0, 2)
    assert (unknowns["rival"], unknowns["candidate"], unknowns["n"]) == (0.0, 1.0, 1)
    assert recall["low"] <= 0.5 <= recall["high"]


@pytest.mark.parametrize("entries", [[], QUESTIONS[3:]])
def test_with_nothing_to_ask_there_is_no_rival(entries):
    assert compete(entries, lambda question: [], lambda given: pytest.fail("asked")) is None


def test_out_of_time_there_is_no_rival_rather_than_half_of_one():
    assert compete(QUESTIONS, lambda question: [], lambda given: None) is None
