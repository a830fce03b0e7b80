import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Exchange
from edge_sleep.data.phrases import hits
from edge_sleep.data.salience import DIMENSIONS, Scorer, surprise_of, total, with_surprise
from edge_sleep.data.words import words

EQUAL = dict.fromkeys(DIMENSIONS, 0.2)
HONEST = Exchange("What did we do in session 12?",
                  "I don't know. I can't remember that session, so I'd rather say so than guess.")
LOOPS = [
    Exchange("What's on your mind?", " ".join(["What's the next step?"] * 30)),
    Exchange("How are you?", "I notice I generate some responses more readily than others. " * 12),
    Exchange("How are you?", "well " * 80),
    Exchange("How are you?", "We feel important together, we realise, we understand. " * 20),
]
TALK = [Exchange(f"What about topic {n}?", f"Topic {n} is about the {word} and how it changes in spring number {n}.")
        for n, word in enumerate(["river", "stone", "window", "candle", "bridge", "ladder", "cloud", "button", "garden", "mirror"] * 3)]


class Nothing:
    exchanges = 0

    def word_counts(self, marks):
        return [0] * len(marks)

    pair_counts = word_counts

    def recent(self):
        return []

    def learn(self, answer):
        pass


@pytest.fixture
def buffer(tmp_path):
    with Buffer(tmp_path / "experience.db") as opened:
        yield opened


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("seen", [0, 5, 30])
def test_honest_uncertainty_is_above_every_loop(loop, seen, buffer):
    scorer = Scorer(buffer.memory, EQUAL)
    for exchange in TALK[:seen]:
        scorer.learn(exchange)
    assert scorer.score(HONEST)["total"] > scorer.score(loop)["total"] + 0.1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.dictionaries(
    st.sampled_from(["evaluation", "success", "overall_quality", "followed_by", "taught"]),
    st.sampled_from(["include", "exclude", True, False, 0.5, 7, "No, that's wrong.", None])))
def test_every_dimension_is_in_the_unit_interval(prompt, response, labels):
    score = Scorer(Nothing(), EQUAL).score(Exchange(prompt, response, labels=labels))
    assert set(score) == {*DIMENSIONS, "total"} and all(0 <= value <= 1 for value in score.values())


def test_one_process_or_many_give_the_same_scores(tmp_path):
    def run(path, part):
        scores = []
        for start in range(0, len(TALK), part):
            with Buffer(path) as buffer:
                scorer = Scorer(buffer.memory, EQUAL)
                with buffer.transaction():
                    for exchange in TALK[start:start + part]:
                        scores.append(scorer.score(exchange))
                        scorer.learn(exchange)
        return scores

    assert run(tmp_path / "one.db", len(TALK)) == run(tmp_path / "many.db", 1)


def test_a_small_cache_changes_no_score(tmp_path, monkeypatch):
    def last_score(path):
        with Buffer(path) as buffer:
            scorer = Scorer(buffer.memory, EQUAL)
            for exchange in TALK:
                with buffer.transaction():
                    scorer.learn(exchange)
            return scorer.score(TALK[3]), scorer.score(HONEST)

    wide = last_score(tmp_path / "wide.db")
    monkeypatch.setattr("edge_sleep.data.memory._CACHED_TERMS", 7)
    assert last_score(tmp_path / "narrow.db") == wide


def test_what_was_said_often_is_neither_new_nor_surprising(buffer):
    scorer = Scorer(buffer.memory, EQUAL)
    for exchange in TALK:
        scorer.learn(exchange)
    again, fresh = scorer.score(TALK[0]), scorer.score(Exchange("What?", "Copper kettles whistle beneath crooked attic beams."))
    assert again["novelty"] < 0.3 and fresh["novelty"] > 0.7 and again["surprise"] < fresh["surprise"]


@pytest.mark.parametrize(("labels", "low", "high"), [
    ({"taught": True}, 1, 1), ({"evaluation": "include"}, 0.99, 1), ({"evaluation": "exclude"}, 0, 0.01),
    ({"success": False}, 0, 0.01), ({"followed_by": "Yes, exactly! Thank you."}, 0.7, 1),
    ({"followed_by": "No, that's wrong."}, 0, 0.3), ({}, 0.5, 0.5)])
def test_reward_listens_to_those_who_can_tell(labels, low, high):
    score = Scorer(Nothing(), EQUAL).score(Exchange("What is it?", "It is a small blue lantern.", labels=labels))
    assert low <= score["reward"] <= high


def test_phrases_match_whole_words():
    assert hits("affect", words("the glove is unfeeling")) == 0 and hits("affect", words("I feel love")) == 2
    assert hits("honest", words("Sorry, I don’t know that.")) == 1


def test_total_is_the_weighted_mean():
    dimensions = dict(zip(DIMENSIONS, (1.0, 0.0, 0.5, 0.5, 0.5), strict=True))
    assert total(dimensions, {**EQUAL, "surprise": 1.0, "novelty": 1.0}) == pytest.approx((1 + 0.3) / 2.6)
    assert total(dimensions, dict.fromkeys(DIMENSIONS, 0.0)) == pytest.approx(0.5)


@pytest.mark.parametrize(("nll", "expected"), [(0.0, 0.0), (-1e-9, 0.0), (math.log(2), 0.5), (50.0, 1.0)])
def test_surprise_of_a_model_is_what_its_probabilities_lack(nll, expected):
    assert surprise_of(nll) == pytest.approx(expected)


def test_another_surprise_moves_the_total_by_its_weight():
    weights = dict.fromkeys(DIMENSIONS, 0.2)
    before = {**dict.fromkeys(DIMENSIONS, 0.4), "total": 0.4}
    assert with_surprise(before, 0.9, weights) == {**before, "surprise": 0.9, "total": 0.5}
    assert with_surprise(before, 0.9, {**weights, "surprise": 0.0})["total"] == 0.4
