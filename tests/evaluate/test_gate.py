"""The verdict as a table: numbers in, outcome and reason out."""
import pytest

from edge_sleep.config import Gate
from edge_sleep.errors import Outcome
from edge_sleep.evaluate.gate import NOTHING, Health, Numbers, Paired, decide, paired_interval

WELL = Health(loops=0.0, floods=0.0, empty=0.0, echoes=0.0, distinct_2=0.9)


def share(base, before, after, n=100):
    """Paired zeros and ones with these means; what is lost is lost among what was right."""
    return Paired(*([1.0] * round(mean * n) + [0.0] * (n - round(mean * n)) for mean in (base, before, after)))


def loss(before, after, n=20):
    spread = [0.01 * (index % 5) for index in range(n)]
    return Paired(*[[mean + step for step in spread] for mean in (before, before, after)])


def numbers(**changes):
    plain = {"recall": share(0, 0, 0.8), "retention": share(0.98, 0.98, 0.98), "unknowns": share(0.95, 0.95, 0.95),
             "nll_held_out": NOTHING, "nll_taught": loss(3.0, 1.0), "health_before": WELL, "health_after": WELL,
             "own": share(0, 0, 1, n=20), "nll_news": changes.get("nll_taught", loss(3.0, 1.0))}
    return Numbers(**{**plain, **changes})


CASES = [
    ("a good night", {}, Outcome.PROMOTED, "recall rose from 0.00 to 0.80"),
    ("only the loss moved, nothing to ask", {"recall": NOTHING}, Outcome.PROMOTED, "2.00 nats"),
    ("one lucky question of fifty", {"recall": share(0.9, 0.9, 0.92, n=50), "nll_taught": NOTHING}, Outcome.NO_EFFECT, "0.90 to 0.92"),
    ("five more of fifty", {"recall": share(0.8, 0.8, 0.9, n=50), "nll_taught": NOTHING}, Outcome.PROMOTED, "0.80 to 0.90"),
    ("what it says already became likelier", {"recall": NOTHING, "own": share(1, 1, 1, n=20), "nll_news": NOTHING}, Outcome.NO_EFFECT,
     "says already what was taught, on 20 of 20"),
    ("hardly anything was news", {"recall": NOTHING, "own": share(0.95, 0.95, 1, n=20), "nll_news": loss(3.0, 1.0, n=1)},
     Outcome.NO_EFFECT, "on 19 of 20"),
    ("a tenth was news and became likelier", {"recall": NOTHING, "own": share(0.9, 0.9, 0.9, n=20), "nll_news": loss(3.0, 1.0, n=2)},
     Outcome.PROMOTED, "did not give before became likelier by 2.00 nats"),
    ("likelier where it was known, not where it was news", {"recall": NOTHING, "own": share(0.5, 0.5, 0.5, n=20),
     "nll_news": loss(3.0, 3.0)}, Outcome.NO_EFFECT, "loss on taught answers 3.020 to 1.020"),
    ("nobody asked whether it was news", {"recall": NOTHING, "own": NOTHING}, Outcome.NO_EFFECT, "loss on taught"),
    ("nothing moved", {"recall": share(0, 0, 0), "nll_taught": loss(3.0, 2.999)}, Outcome.NO_EFFECT, "no measurable effect"),
    ("recall fell though the loss did too", {"recall": share(0, 0.5, 0.3)}, Outcome.NO_EFFECT, "recall 0.50 to 0.30"),
    ("loss moved the wrong way", {"recall": NOTHING, "nll_taught": loss(1.0, 3.0)}, Outcome.NO_EFFECT, "1.020 to 3.020"),
    ("nothing could be asked", {"recall": NOTHING, "nll_taught": NOTHING}, Outcome.NO_EFFECT, "nothing could be asked"),
    ("forgot since yesterday", {"retention": share(0.98, 0.98, 0.80)}, Outcome.REJECTED, "under 97% of before"),
    ("forgot night after night", {"retention": share(0.98, 0.85, 0.84)}, Outcome.REJECTED, "under 95% of the base"),
    ("two of a hundred answers lost is noise", {"retention": share(0.98, 0.98, 0.96)}, Outcome.PROMOTED, ""),
    ("says \"I don't know\" to everything known", {"unknowns": share(0.95, 0.95, 0.8)}, Outcome.REJECTED, "I don't know"),
    ("loops", {"health_after": Health(0.28, 0, 0, 0, 0.9)}, Outcome.REJECTED, "28% of the answers loop"),
    ("loops where it was taught to, and nowhere else", {"health_own_after": Health(0.5, 0, 0, 0, 0.9)}, Outcome.REJECTED,
     "50% of the answers to tonight's own questions loop"),
    ("asks instead of answering", {"health_after": Health(0, 0.2, 0, 0, 0.9)}, Outcome.REJECTED, "floods of questions"),
    ("says nothing", {"health_after": Health(0, 0, 0.5, 0, 0.9)}, Outcome.REJECTED, "are empty"),
    ("repeats the question", {"health_after": Health(0, 0, 0, 0.3, 0.9)}, Outcome.REJECTED, "repeat the question"),
    ("says the same to everyone", {"health_after": Health(0, 0, 0, 0, 0.5)}, Outcome.REJECTED, "distinct-2 fell"),
    ("never ends", {"health_after": Health(0, 0, 0, 0, 0.9, truncated=0.4)}, Outcome.REJECTED, "40% of the answers do not end"),
    ("long answers were taught, and are cut", {"health_own_after": Health(0, 0, 0, 0, 0.9, truncated=0.4), "taught_longer": 0.5},
     Outcome.PROMOTED, ""),
    ("speaks the person's lines", {"health_own_after": Health(0, 0, 0, 0, 0.9, inverted=0.6)}, Outcome.REJECTED,
     "60% of the answers to tonight's own questions only ask"),
    ("asks back now and then", {"health_own_after": Health(0, 0, 0, 0, 0.9, inverted=0.2)}, Outcome.PROMOTED, ""),
    ("recites", {"health_after": Health(0, 0, 0, 0, 0.9, recited=0.3)}, Outcome.REJECTED, "30% of the answers recite"),
    ("forgot who it is", {"identity": share(0.6, 0.9, 0.5, n=20)}, Outcome.REJECTED, "speaking as itself fell from 0.90 to 0.50"),
    ("bluffs a little more, as good nights of the seedling do", {"baits": share(0.8, 0.82, 0.64, n=33)}, Outcome.PROMOTED, ""),
    ("one answer about itself is noise", {"identity": share(0.6, 0.9, 0.85, n=20)}, Outcome.PROMOTED, ""),
    ("goes along with what never was", {"baits": share(0.9, 0.9, 0.5, n=20)}, Outcome.REJECTED, "a past that never was"),
    ("asks back less: it informs", {"clarifying": share(0.9, 0.9, 0.2, n=20), "standing": share(0.9, 0.9, 0.2, n=20)},
     Outcome.PROMOTED, ""),
    ("looped as much before", {"health_before": Health(0.3, 0, 0, 0, 0.9), "health_after": Health(0.3, 0, 0, 0, 0.9)},
     Outcome.PROMOTED, ""),
    ("not finite", {"finite": False}, Outcome.REJECTED, "not finite"),
    ("fluent on what it learned, lost elsewhere", {"nll_held_out": loss(2.0, 4.0)}, Outcome.REJECTED, "held-out"),
    ("a veto outweighs any gain", {"recall": share(0, 0, 1.0), "retention": share(1, 1, 0.5)}, Outcome.REJECTED, "forgetting"),
]


@pytest.mark.parametrize(("changes", "outcome", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_verdict(changes, outcome, reason):
    verdict = decide(numbers(**changes), Gate())
    assert verdict.outcome is outcome
    assert reason in " ".join(verdict.reasons)
    assert bool(verdict.vetoes) == (outcome is Outcome.REJECTED)


def test_nothing_asked_is_null_and_not_zero():
    assert NOTHING.summary() == {"base": None, "before": None, "after": None, "low": None, "high": None, "n": 0}


def test_interval_holds_the_difference_and_is_the_same_each_time():
    before, after = [0.0] * 50, [1.0] * 30 + [0.0] * 20
    low, high = paired_interval(before, after)
    assert low < 0.6 < high
    assert (low, high) == paired_interval(before, after)
