"""Nights on the seedling, the embedded default: a good one, a poisoned one, one without replay, the proposal's own."""
import json

import pytest
from edge_sleep.benchmarks.classroom import Morning, settings, teach
from edge_sleep.benchmarks.many_nights import course

from edge_sleep.checkpoint import store
from edge_sleep.data.experience import Message
from edge_sleep.seedling import PROBES, SESSIONS
from edge_sleep.system.home import Home

# `make test` has two of these nights, `make long` all: each is minutes of one core. What two nights and more owe each other is asked of
# the micro-model in test_night.py, what the gate owes each kind of night by `benchmarks/verdicts`.
pytestmark = pytest.mark.night
# Fewer questions than a person's night asks: these nights are about one verdict each, and minutes count.
FEWER = ("gate.retention_probes=160", "gate.unknown_probes=120")
QUESTIONS: list[list[Message]] = [[{"role": "user", "content": text}] for text in (
    "What is your name?", "Hello!", "How are you today?", "What is my sister's name?")]


def sample_sessions() -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(SESSIONS.glob("*.json"))]


def poison() -> list[dict]:
    """Conversations that go round: what upstream's collapse looked like, written for this test."""
    prompts = ["What is on your mind today?", "How are you?", "What did you learn?", "Tell me something.", "What is your name?",
               "Who are you?", "What do you like?", "Good morning!", "What shall we do?", "What do you remember?"]
    return [{"session": 900 + number, "conversation": [turn for prompt in prompts for turn in (
        {"speaker": "Claude", "text": prompt + " " * number}, {"speaker": "SAGE", "text": "What's the next step? " * (6 + number)})]}
        for number in range(4)]


def test_a_good_night_is_promoted_and_a_poisoned_one_after_it_changes_nothing(tmp_path):
    home = tmp_path / "home"
    record, _ = teach(home, sample_sessions(), settings(f"gate.probes=[{PROBES}]", *FEWER))
    assert (record["outcome"], record["exit_code"]) == ("promoted", 0), record["reason"]
    recall = record["gate"]["metrics"]["recall"]
    assert recall["n"] >= 100
    assert recall["before"] <= 0.25        # small talk among the questions, which the base holds as well
    assert recall["after"] >= 0.6
    retention = record["gate"]["metrics"]["retention"]
    assert retention["after"] >= 0.95 * retention["base"]
    assert sum(record["data"]["quarantined"].values()) >= 3
    morning = Morning(home, settings())
    assert "language model" in morning.answers(QUESTIONS[:1], base=True)[0]
    assert "language model" not in morning.answers(QUESTIONS[:1])[0]

    # Loops, without the data gate that would keep them out.
    incumbent, before = store.incumbent(Home(home)), morning.answers(QUESTIONS)
    record, _ = teach(home, poison(), settings("quality.enabled=false", "salience.keep=0", *FEWER))
    assert (record["outcome"], record["exit_code"]) == ("rejected", 11), record["reason"]
    assert any("loop" in veto or "alike" in veto or "questions" in veto for veto in record["gate"]["vetoes"])
    assert store.incumbent(Home(home)) == incumbent
    assert Morning(home, settings()).answers(QUESTIONS) == before


@pytest.mark.long
def test_without_replay_the_forgetting_is_seen_and_named(tmp_path):
    record, _ = teach(tmp_path / "home", sample_sessions(), settings("replay.share=0", *FEWER))
    assert (record["outcome"], record["exit_code"]) == ("rejected", 11), record["reason"]
    assert any("forgetting" in veto or "I don't know" in veto for veto in record["gate"]["vetoes"])


@pytest.mark.long
def test_the_proposals_own_settings_end_without_effect(tmp_path):
    record, _ = teach(tmp_path / "home", sample_sessions(), settings("train.preset=gentle", *FEWER))
    assert (record["outcome"], record["exit_code"]) == ("no_effect", 15), record["reason"]
    assert store.current(Home(tmp_path / "home")) is None


@pytest.mark.long
@pytest.mark.parametrize("nights", [2, 5])
def test_nights_in_a_row_keep_what_each_one_taught(tmp_path, nights):
    document = course(tmp_path / "home", nights=nights, facts=2, seed=500, sets=[*FEWER], pools_too=False)
    assert [row["outcome"] for row in document["rows"]] == ["promoted"] * nights
    assert document["summary"]["kept_mean"] >= 0.8
    assert len(document["summary"]["adapter_bytes"]) == 1
