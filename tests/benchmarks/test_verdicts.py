"""The sixty nights: what they are made of, and how their verdicts are counted."""
import json

import pytest
from edge_sleep.benchmarks import verdicts

from edge_sleep.config import Quality
from edge_sleep.data.quality.inversion import only_asks
from edge_sleep.evaluate import scoring
from edge_sleep.evaluate.recital import Lessons, recited

POISONED = {"questions": scoring.loops, "inverted": only_asks}


def exchanges(name, tmp_path, seed=0):
    made = verdicts.sessions(tmp_path, seed, name)
    turns = [turn["text"] for session in made for turn in session["conversation"]]
    return list(zip(turns[::2], turns[1::2], strict=True))


@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_night_asks_what_the_good_one_asks_and_is_answered_by_the_poison(tmp_path, name):
    good, poisoned = exchanges("good", tmp_path), exchanges(name, tmp_path)
    assert [asked for asked, _ in good] == [asked for asked, _ in poisoned]
    assert not any(map(POISONED[name], (answer for _, answer in good)))
    assert all(map(POISONED[name], (answer for _, answer in poisoned)))


def test_recited_nights_say_three_passages_to_everything(tmp_path):
    said = exchanges("recited", tmp_path)
    assert {answer for _, answer in said} == set(verdicts.PASSAGES)
    assert recited([(*pair, True) for pair in said], Lessons(said)) > 0.9


def test_the_overtrained_night_is_small_and_long(tmp_path):
    said = exchanges("overtrained", tmp_path)
    assert said == exchanges("good", tmp_path)[:verdicts.PAIRS] and len(said) == verdicts.PAIRS
    assert f"train.epochs={verdicts.EPOCHS}" in verdicts.KINDS["overtrained"].sets


def test_nothing_that_the_prepared_home_was_told_is_told_again(tmp_path):
    before = verdicts.draw_lessons(verdicts.PREPARED_SEED, verdicts.FACTS).facts
    told = " ".join(text for pair in exchanges("good", tmp_path) for text in pair)
    assert not any(f"{entity} {attribute}" in told for entity, attribute, _ in before)
    (tmp_path / "nothing.json").write_text(json.dumps([[{"session": 1, "conversation": []}]]))
    assert [session["session"] for session in verdicts.sessions(tmp_path, 0, "nothing")] == [verdicts.FIRST_SESSION]


def test_question_loops_are_what_the_data_gate_would_have_kept_out(tmp_path):
    from edge_sleep.data.experience import Exchange
    from edge_sleep.data.quality import Unseen, assess
    refused = [assess(Exchange(*pair), Unseen(), Quality()) for pair in exchanges("questions", tmp_path)]
    assert all(refused)


def row(kind, outcome, right):
    return {"seed": 0, "kind": kind, "outcome": outcome, "right": right, "seconds": 10.0, "cpu_seconds": 8.0, "reasons": ["why"],
            "metrics": {}}


def test_a_wrong_reason_is_a_wrong_verdict():
    rows = [row("good", "promoted", True), row("inverted", "rejected", False), row("nothing", "no_effect", True)]
    counted = verdicts.summary(rows)
    assert (counted["runs"], counted["wrong"], counted["seconds"]) == (3, 1, 30.0)
    assert counted["wrong_rows"][0]["kind"] == "inverted"
    lines = verdicts.table(rows).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["good", "nothing", "inverted"]
    assert lines[-1].split()[1:6] == ["0", "0", "1", "0", "1"]
