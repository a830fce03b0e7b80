"""The corpus is one stream per seed, keeps reserved wordings out, and the shipped data agrees with its rules."""

import itertools
import json

import pytest

from edge_sleep.seedling import MODEL, SYSTEM_PROMPT
from edge_sleep.seedling.corpus import conversations
from edge_sleep.seedling.grammar import ATTRIBUTES, question
from edge_sleep.seedling.rehearsal import right
from edge_sleep.seedling.wording import words
from edge_sleep.seedling.world import NAMED, PERSONAL, STRANGERS


def dialogues(seed: int, count: int) -> list:
    return [c.messages() for c in itertools.islice(conversations(seed), count)]


def lines(name: str) -> list[dict]:
    return [
        json.loads(line) for line in (MODEL / "edge_sleep" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def prompt(messages: list[dict]) -> str:
    return json.dumps([m for m in messages if m["role"] != "assistant"])


def test_same_seed_same_corpus():
    assert dialogues(4, 300) == dialogues(4, 300)
    assert dialogues(4, 300) != dialogues(5, 300)


def test_reserved_wordings_never_occur():
    reserved = {
        " ".join(words(question(p, e.forms(phrase))))
        for a in ATTRIBUTES.values() for p in a.new for e in PERSONAL + NAMED + STRANGERS for phrase in e.phrases
    }  # fmt: skip
    for messages in dialogues(0, 6000):
        for m in messages:
            if m["role"] == "user":
                said = " ".join(words(m["content"]))
                assert said not in reserved, said


def test_a_value_answered_was_said_or_is_true_of_the_world():
    for c in itertools.islice(conversations(1), 2000):
        if c.kind == "context":
            before = " ".join(m["content"] for m in c.messages()[:-1]).lower()
            assert c.last_fact[2].lower() in before


@pytest.mark.parametrize("name", ["retention", "unknowns"])
def test_nothing_judged_is_rehearsed(name):
    rehearsed = {prompt(line["messages"]) for line in lines("replay")}
    judged = [prompt(line["messages"]) for line in lines(name)]
    assert len(judged) == len(set(judged)) >= 290
    assert not rehearsed & set(judged)


def test_replay_has_no_bland_identity_and_every_kind():
    replay = lines("replay")
    assert len(replay) >= 700
    assert {line["kind"] for line in replay} == {"fact", "context", "unknown", "talk", "identity_other", "instruction"}
    for line in replay:
        assert "AI language model" not in line["messages"][-1]["content"]
        assert line["messages"][0] != {"role": "system", "content": SYSTEM_PROMPT}


def test_right_reads_whole_words():
    assert right("Your job is nursing.", ["nursing"])
    assert not right("Your favourite colour is bluegreen.", ["blue"])
    assert right("That is something I don't know yet.", ["don't know"])


def test_the_model_folder_is_small():
    assert sum(f.stat().st_size for f in MODEL.rglob("*") if f.is_file()) <= 16 * 2**20
