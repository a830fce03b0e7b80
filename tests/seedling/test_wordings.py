"""Wordings: what pretraining never sees, and how far a held-out question is from a taught one."""

import re

import pytest
from edge_sleep.benchmarks import teaching

from edge_sleep.seedling import PROBES, SESSIONS, phrases, wording
from edge_sleep.seedling.grammar import ATTRIBUTES, asked, question
from edge_sleep.seedling.samples import FACTS, probes, sessions
from edge_sleep.seedling.world import BY_KEY, LEFT_OPEN, PERSONAL, REHEARSED, RESERVED, TEACHABLE


def plain(text: str) -> str:
    return " ".join(wording.words(text))


@pytest.mark.parametrize("key", ATTRIBUTES)
def test_reserved_wordings_are_no_pretraining_wordings(key):
    forms = BY_KEY["sister"].forms()
    seen = {plain(question(p, forms)) for p in asked(key)}
    reserved = {plain(question(p, forms)) for p in ATTRIBUTES[key].new}
    assert len(reserved) >= 6
    assert not reserved & seen
    assert len(seen) >= 20


def test_pools_of_people_do_not_overlap():
    keys = [e.key for e in TEACHABLE + REHEARSED + RESERVED]
    assert len(keys) == len(set(keys)) == len(PERSONAL)


def test_the_fact_space_is_wide_enough_for_thirty_nights():
    assert len(set(teaching.SPACE)) >= 120


def test_nothing_taught_is_rehearsed_as_unknown():
    assert not LEFT_OPEN & {f[:2] for f in FACTS}


def test_four_gram_and_jaccard():
    assert wording.shares_four_gram("Well, what is my sister's job?", "Tell me what is my sister's name")
    assert not wording.shares_four_gram("what is my job", "what is your job")
    assert wording.jaccard("What is my sister's job?", "Say my sister's job.") == 1.0
    assert wording.content_words("What is the red one?") == {"red"}


def breaks_rule(text: str, taught: list[str]) -> list[str]:
    return [t for t in taught if wording.shares_four_gram(text, t) or wording.jaccard(text, t) > 0.5]


@pytest.mark.parametrize("seed", range(20))
def test_lessons_keep_the_rule(seed):
    lessons = teaching.draw_lessons(seed)
    said = [t["text"] for s in lessons.sessions for t in s["conversation"]]
    framed = [before + t for t in said if t.endswith("?") for before, _ in phrases.FRAMES]
    framed_grams = {g for t in framed for g in wording.four_grams(t)}
    for q in lessons.questions + lessons.controls:
        assert not breaks_rule(q["question"], said), q
    for q in lessons.questions:
        assert framed_grams.isdisjoint(wording.four_grams(q["question"])), q
    for fact in lessons.facts:
        assert sum(q["fact"] == list(fact) and q["wording"] == "new" for q in lessons.questions) >= 5
    assert len(lessons.questions) >= 100
    taught = {tuple(f[:2]) for f in lessons.facts}
    assert not any(tuple(q["fact"][:2]) in taught for q in lessons.controls)


def test_permuted_lessons_teach_no_true_answer():
    lessons = teaching.draw_lessons(3)
    wrong = lessons.permuted()
    assert wrong.questions == lessons.questions and wrong.facts == lessons.facts
    answers = " ".join(t["text"] for s in wrong.sessions for t in s["conversation"])
    for entity, attribute, value in lessons.facts:
        a = ATTRIBUTES[attribute]
        told = f"{BY_KEY[entity].forms(speaker='companion')['P']} {a.noun} is {a.phrase.format(v=value)}."
        assert told[1:] not in answers, told


def test_lessons_are_the_same_for_the_same_seed_and_respect_exclude():
    first = teaching.draw_lessons(7, facts=4)
    assert first == teaching.draw_lessons(7, facts=4)
    taken = frozenset((e, a) for e, a, _ in first.facts)
    assert not taken & {(e, a) for e, a, _ in teaching.draw_lessons(7, facts=4, exclude=taken).facts}


def test_sample_probes_keep_the_rule_and_match_their_generator():
    transcripts, rule = sessions()
    asked_later = probes(rule)
    said = [t["text"] for s in transcripts for t in s["conversation"]]
    assert len(asked_later) >= 100 and len(FACTS) >= 20
    for p in asked_later:
        assert not breaks_rule(p["question"], said), p
    text = PROBES.read_text(encoding="utf-8")
    assert re.findall(r'question: "([^"]*)"', text) == [p["question"] for p in asked_later]
    assert len(list(SESSIONS.glob("*.json"))) == len(transcripts) >= 12
