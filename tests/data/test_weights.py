import random

import numpy as np
import pytest

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.ingest import take
from edge_sleep.data.outcomes import Outcome, outcome, outcomes
from edge_sleep.data.salience import DIMENSIONS, Scorer
from edge_sleep.data.teach import teach
from edge_sleep.data.weights import auc, fit, learn


def made(count: int, telling: dict[str, float], seed: int = 0, sessions: int = 40) -> list[Outcome]:
    """Outcomes that the named dimensions tell (their pull on the log-odds), the others not."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        features = tuple(generator.random() for _ in DIMENSIONS)
        odds = sum(telling.get(name, 0.0) * (value - 0.5) for name, value in zip(DIMENSIONS, features, strict=True))
        found.append(Outcome(f"s{number % sessions}", features, generator.random() < 1 / (1 + np.exp(-odds)), "evaluation"))
    return found


def test_weights_that_tell_are_found_and_beat_equal_ones():
    result = learn(made(600, {"reward": 6.0, "arousal": 3.0}), seed=1)
    weights = result["weights"]
    assert result["better"] and result["above_chance"] and result["reason"].startswith("better: ")
    assert weights["reward"] > weights["arousal"] > max(weights[name] for name in ("surprise", "novelty", "conflict"))
    assert sum(weights.values()) == pytest.approx(1, abs=0.003) and min(weights.values()) >= 0
    assert result["auc"]["learned"]["value"] > result["auc"]["equal"]["value"] + 0.05


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_not_better(seed):
    result = learn(made(150, {}, seed), seed=1)
    assert not (result["better"] and result["above_chance"])


def test_equal_pulls_give_equal_weights_and_are_not_better():
    result = learn(made(800, dict.fromkeys(DIMENSIONS, 4.0)), seed=1)
    assert not result["better"] and result["reason"].startswith("not better: ")
    assert max(result["weights"].values()) < 1.6 * min(result["weights"].values())


def test_a_dimension_that_misleads_gets_nothing():
    assert fit(*arrays(made(400, {"reward": 6.0, "novelty": -6.0})), seed=1)[DIMENSIONS.index("novelty")] == 0


def arrays(found):
    return np.array([item.features for item in found]), np.array([item.good for item in found])


def test_the_same_outcomes_give_the_same_result():
    assert learn(made(200, {"reward": 4.0}), seed=3) == learn(made(200, {"reward": 4.0}), seed=3)


@pytest.mark.parametrize("found", [[], made(15, {"reward": 9.0}), [item._replace(good=True) for item in made(99, {})],
                                   made(200, {"reward": 9.0}, sessions=3)])
def test_too_few_outcomes_teach_nothing(found):
    result = learn(found, seed=1)
    assert (result["weights"], result["better"], result["auc"]) == (None, False, None) and "needed" in result["reason"]


@pytest.mark.parametrize(("scores", "good", "value"), [
    ([1, 2, 3, 4], [0, 0, 1, 1], 1.0), ([4, 3, 2, 1], [0, 0, 1, 1], 0.0), ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
    ([1, 2, 2, 3], [0, 0, 1, 1], 0.875)])
def test_auc_counts_ties_half(scores, good, value):
    assert auc(np.array(scores, dtype=float), np.array(good, dtype=bool)) == value
    assert np.isnan(auc(np.array([1.0]), np.array([True])))


@pytest.mark.parametrize(("status", "reason", "by_hand", "labels", "expected"), [
    ("kept", None, False, {}, None),
    ("kept", None, False, {"evaluation": "include"}, (True, "evaluation")),
    ("evicted", "low_salience", False, {"evaluation": "exclude", "success": True}, (False, "evaluation")),
    ("kept", None, False, {"evaluation": "review", "success": True}, (True, "success")),
    ("kept", None, False, {"evaluation": "review"}, None),
    ("kept", None, True, {"evaluation": "exclude"}, (True, "released")),
    ("quarantined", "not true", True, {}, (False, "quarantined")),
    ("quarantined", "corrected", True, {"evaluation": "include"}, (False, "corrected")),
    ("kept", None, False, {"taught": True}, (True, "taught")),
    ("quarantined", "loop", False, {"evaluation": "include"}, None),
    ("quarantined", "other_model", False, {"evaluation": "include"}, None),
    ("quarantined", "rejected_twice", True, {}, None),
])
def test_who_says_how_it_turned_out(status, reason, by_hand, labels, expected):
    assert outcome(status, reason, by_hand, labels) == expected


def test_what_is_judged_is_not_told_to_the_judge(tmp_path):
    config = Config()
    with Buffer(tmp_path / "experience.db") as buffer:
        scorer = Scorer(buffer.memory, config.salience.weights)
        judged = [Exchange(f"What is {n}?", f"It is the number {n} of the long row.", labels={"evaluation": label, "overall_quality": 0.9})
                  for n, label in enumerate(["include", "exclude"])]
        take(Session("s1", "f", "training_track", tuple(judged)), buffer, scorer, config.quality, 0.0)
        teach(buffer, config, "Who?", "Lena is my sister, and she lives by the sea.")
        found = outcomes(buffer)
    assert [(item.good, item.source) for item in found] == [(True, "evaluation"), (False, "evaluation"), (True, "taught")]
    place = DIMENSIONS.index("reward")
    assert found[0].features[place] == found[1].features[place] == found[2].features[place] == 0.5
