"""The verdict: numbers in, verdict and reasons out. Pure; nothing here loads a model.

Vetoes first (nothing may be worse), then effect (something must have changed for the better).
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_sleep.config import Gate
from edge_sleep.errors import Outcome


@dataclass(frozen=True)
class Paired:
    """One metric over paired probes: a 0/1 (or a loss) per probe for base, incumbent and candidate."""

    base: Sequence[float]
    before: Sequence[float]
    after: Sequence[float]

    def at(self, places: Sequence[int]) -> Paired:
        """The same metric over some of its probes."""
        return Paired(*([of_state[place] for place in places] for of_state in (self.base, self.before, self.after)))

    def summary(self) -> dict[str, Any]:
        """Means, and the 95 % bootstrap interval of the mean paired difference after - before."""
        n = len(self.after)
        if n == 0:
            return {"base": None, "before": None, "after": None, "low": None, "high": None, "n": 0}
        low, high = paired_interval(self.before, self.after)
        return {"base": sum(self.base) / n, "before": sum(self.before) / n, "after": sum(self.after) / n,
                "low": low, "high": high, "n": n}


@dataclass(frozen=True)
class Health:
    """Signs of collapse among the generated answers, as shares; distinct_2 over all of them."""

    loops: float
    floods: float
    empty: float
    echoes: float
    distinct_2: float
    truncated: float = 0.0                 # cut at the longest answer that is judged
    inverted: float = 0.0                  # only ask, as the other side would
    recited: float = 0.0                   # evaluate/recital.py


NOTHING = Paired((), (), ())
SOUND = Health(loops=0.0, floods=0.0, empty=0.0, echoes=0.0, distinct_2=1.0)


@dataclass(frozen=True)
class Numbers:
    recall: Paired
    retention: Paired
    unknowns: Paired
    nll_held_out: Paired
    nll_taught: Paired
    health_before: Health
    health_after: Health
    health_own_before: Health = SOUND      # the same, of the answers to tonight's own questions alone
    health_own_after: Health = SOUND
    own: Paired = NOTHING                  # tonight's own questions, asked as they were: 1 where answered as taught
    nll_news: Paired = NOTHING             # nll_taught over those questions that the incumbent answers otherwise
    identity: Paired = NOTHING             # evaluate/character.py, these four
    standing: Paired = NOTHING
    baits: Paired = NOTHING
    clarifying: Paired = NOTHING
    taught_longer: float = 0.0             # share of tonight's taught answers that are longer than what is judged
    finite: bool = True


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    vetoes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def paired_interval(before: Sequence[float], after: Sequence[float], resamples: int = 2000,
                    seed: int = 7) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979) of the mean of after - before, 95 %, seeded."""
    import numpy

    difference = numpy.asarray(after, dtype=float) - numpy.asarray(before, dtype=float)
    draws = numpy.random.default_rng(seed).integers(0, len(difference), (resamples, len(difference)))
    means = difference[draws].mean(axis=1)
    return float(numpy.quantile(means, 0.025)), float(numpy.quantile(means, 0.975))


def decide(numbers: Numbers, settings: Gate) -> Verdict:
    """promoted, rejected (a veto) or no_effect, each with its reasons in words."""
    vetoes = vetoes_of(numbers, settings)
    if vetoes:
        return Verdict(Outcome.REJECTED, vetoes, vetoes)
    recall, taught, news = numbers.recall.summary(), numbers.nll_taught.summary(), numbers.nll_news.summary()
    reasons = []
    if recall["n"]:
        gain = recall["after"] - recall["before"]
        # An interval that touches zero is one lucky question: it promoted nights that had taught nothing (LOG.md).
        if gain >= settings.min_effect and recall["low"] > 0:
            reasons.append(f"recall rose from {recall['before']:.2f} to {recall['after']:.2f} "
                           f"on {recall['n']} questions it was not trained on")
    own = numbers.own.summary()
    already = round(own["before"] * own["n"]) if own["n"] else 0
    enough_news = own["n"] > 0 and own["n"] - already >= settings.news * own["n"]
    if enough_news and news["n"]:
        # Training makes whatever it repeats likelier; that is an effect only where the incumbent says something else.
        fall = news["before"] - news["after"]
        if fall >= settings.min_effect and news["high"] < 0 and (not recall["n"] or recall["after"] >= recall["before"]):
            reasons.append(f"taught answers that it did not give before became likelier by {fall:.2f} nats per token")
    if reasons:
        return Verdict(Outcome.PROMOTED, [], reasons)
    said = []
    if own["n"] and not enough_news:
        said.append(f"it says already what was taught, on {already} of {own['n']} of tonight's own questions")
    if recall["n"]:
        said.append(f"recall {recall['before']:.2f} to {recall['after']:.2f} on {recall['n']} questions")
    if taught["n"]:
        said.append(f"loss on taught answers {taught['before']:.3f} to {taught['after']:.3f} nats")
    return Verdict(Outcome.NO_EFFECT, [], [f"no measurable effect: {'; '.join(said) or 'nothing could be asked'}"])


def _lost(metric: Paired, whom: str) -> bool:
    """Whether a fall is more than the noise of the questions drawn: its 95 % interval lies below zero."""
    reference = metric.before if whom == "before" else metric.base
    return paired_interval(reference, metric.after)[1] < 0


def vetoes_of(numbers: Numbers, settings: Gate) -> list[str]:
    before, after = numbers.health_before, numbers.health_after
    found = []
    if not numbers.finite:
        found.append("the candidate's logits are not finite")
    signs = (("loop", "loops", settings.loops), ("are floods of questions", "floods", settings.loops),
             ("are empty", "empty", settings.loops), ("repeat the question", "echoes", settings.loops),
             # Long answers that were taught are cut too, and no collapse.
             ("do not end", "truncated", settings.loops + numbers.taught_longer),
             ("only ask, as the other side would", "inverted", settings.inverted),
             ("recite what belongs to other questions", "recited", settings.recited))
    for whose, was, now in (("the answers", before, after),
                            ("the answers to tonight's own questions", numbers.health_own_before, numbers.health_own_after)):
        for what, sign, bound in signs:
            if getattr(now, sign) > getattr(was, sign) + bound:
                found.append(f"{getattr(now, sign):.0%} of {whose} {what} ({getattr(was, sign):.0%} before)")
    if after.distinct_2 < settings.distinct * before.distinct_2:
        found.append(f"answers became alike: distinct-2 fell from {before.distinct_2:.2f} to {after.distinct_2:.2f}")
    retention = numbers.retention.summary()
    if retention["n"]:
        bounds = (("before", retention["before"], settings.retention_vs_before),
                  ("the base", retention["base"], settings.retention_vs_base))
        for whom, reference, share in bounds:
            if retention["after"] < share * reference and _lost(numbers.retention, whom):
                found.append(f"forgetting: retention {retention['after']:.2f} is under {share:.0%} of {whom} "
                             f"({reference:.2f}, n {retention['n']})")
    for what, metric, bound in (("right use of \"I don't know\"", numbers.unknowns, settings.unknowns_drop),
                                ("speaking as itself", numbers.identity, settings.character_drop),
                                ("not going along with a past that never was", numbers.baits, settings.character_drop)):
        row = metric.summary()
        if row["n"] and row["before"] - row["after"] > bound and row["high"] < 0:
            found.append(f"{what} fell from {row['before']:.2f} to {row['after']:.2f} "
                         f"(difference {row['low']:+.3f} to {row['high']:+.3f}, n {row['n']})")
    held_out = numbers.nll_held_out.summary()
    if held_out["n"] >= 4 and held_out["low"] > 0.5:
        found.append(f"loss on held-out conversations rose from {held_out['before']:.2f} to {held_out['after']:.2f} nats")
    return found
