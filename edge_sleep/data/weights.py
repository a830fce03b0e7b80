"""Learn the weights of the five dimensions from outcomes, and say honestly whether they are better than equal ones.

Pairwise logistic regression (RankNet, Burges et al. 2005, with a linear scorer): minimise the mean over pairs of a good
and a bad outcome of ln(1 + exp(-w·(good - bad))), plus PULL/2 * |w - mean(w)|^2, which draws the weights towards each
other where the outcomes are few. Gradient descent with step 1/L, projected on w >= 0. Only the ratios of the weights
count, so they are given as shares of 1.

Held out: in FOLDS folds by whole session, each outcome is scored by weights that never saw its session. The interval is
a bootstrap over sessions, of the difference on the same outcomes.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge_sleep.data.outcomes import Outcome
from edge_sleep.data.salience import DIMENSIONS

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
PULL = 0.02
LEAST = 10                                # good and bad outcomes each, and sessions, below which nothing is learned
_RIDGE = 1e-3                             # bounds the length of w where the outcomes can be separated
_STEPS = 2000
_PAIRS = 20_000
_RESAMPLES = 2000


def auc(scores: np.ndarray, good: np.ndarray) -> float:
    """Chance that a good outcome scores above a bad one, ties counted half; NaN where one kind is missing."""
    import numpy as np
    positive = int(good.sum())
    negative = len(good) - positive
    if not positive or not negative:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[good].sum() - positive * (positive + 1) / 2) / (positive * negative))


def fit(features: np.ndarray, good: np.ndarray, seed: int) -> np.ndarray:
    """Weights as shares of 1; equal ones where no dimension tells good from bad. features: n by 5, in [0, 1]."""
    import numpy as np
    positive, negative = features[good], features[~good]
    generator = np.random.default_rng(seed)
    every = len(positive) * len(negative)
    chosen = np.arange(every) if every <= _PAIRS else generator.integers(0, every, _PAIRS)
    gaps = positive[chosen // len(negative)] - negative[chosen % len(negative)]
    step = 1 / (0.25 * np.linalg.eigvalsh(gaps.T @ gaps / len(gaps))[-1] + PULL + _RIDGE)
    weights = np.ones(features.shape[1])
    for _ in range(_STEPS):
        wrong = 1 / (1 + np.exp(np.clip(gaps @ weights, -50, 50)))
        slope = -(gaps * wrong[:, None]).mean(axis=0) + PULL * (weights - weights.mean()) + _RIDGE * weights
        moved = np.maximum(0.0, weights - step * slope)
        if np.abs(moved - weights).max() < 1e-7:
            break
        weights = moved
    return weights / weights.sum() if weights.sum() > 1e-9 else np.full(len(weights), 1 / len(weights))


def learn(outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """What the outcomes teach: weights, held-out AUC of learned and equal weights with 95 % intervals, and the verdict.

    `better` is true where the whole interval of the difference lies above 0, `above_chance` where that of the learned
    weights' AUC lies above 1/2: beating weights that mislead is not yet knowing. `weights` is None with too few outcomes.
    """
    import numpy as np
    good = np.array([item.good for item in outcomes], dtype=bool)
    sessions = sorted({item.session for item in outcomes})
    result: dict[str, Any] = {
        "outcomes": len(outcomes), "good": int(good.sum()), "bad": int(len(good) - good.sum()), "sessions": len(sessions),
        "sources": dict(sorted(Counter(item.source for item in outcomes).items())), "weights": None, "auc": None, "better": False,
        "above_chance": False}
    if min(result["good"], result["bad"], len(sessions)) < LEAST:
        return result | {"reason": f"{result['good']} good and {result['bad']} bad outcomes from {len(sessions)} sessions; "
                                   f"{LEAST} of each are needed"}
    features = np.array([item.features for item in outcomes])
    member = np.searchsorted(np.array(sessions), np.array([item.session for item in outcomes]))
    generator = np.random.default_rng(seed)
    fold = (generator.permutation(len(sessions)) % FOLDS)[member]
    learned = np.zeros(len(outcomes))
    for number in range(FOLDS):
        seen = fold != number
        if good[seen].any() and not good[seen].all():
            learned[~seen] = features[~seen] @ fit(features[seen], good[seen], seed)
        else:
            learned[~seen] = features[~seen].mean(axis=1)
    equal = features.mean(axis=1)
    rows_of = [np.flatnonzero(member == number) for number in range(len(sessions))]
    drawn = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([rows_of[number] for number in generator.integers(0, len(sessions), len(sessions))])
        drawn.append((auc(learned[rows], good[rows]), auc(equal[rows], good[rows])))
    samples = np.array(drawn)

    def interval(value: float, values: np.ndarray) -> dict[str, float]:
        low, high = np.nanpercentile(values, [2.5, 97.5])
        return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}

    whole = auc(learned, good), auc(equal, good)
    difference = interval(whole[0] - whole[1], samples[:, 0] - samples[:, 1])
    own = interval(whole[0], samples[:, 0])
    better, above_chance = difference["low"] > 0, own["low"] > 0.5
    weights = fit(features, good, seed)
    verdict = "not better" if not better else "better" if above_chance else "better than equal weights, and no better than chance"
    reason = (f"held-out AUC {whole[0]:.3f} against {whole[1]:.3f} of equal weights: "
              f"{difference['value']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})")
    return result | {
        "weights": {name: round(float(value), 3) for name, value in zip(DIMENSIONS, weights, strict=True)},
        "auc": {"learned": own, "equal": interval(whole[1], samples[:, 1]), "difference": difference},
        "better": better, "above_chance": above_chance, "reason": f"{verdict}: {reason}"}
