"""What a run does when a check fails, a measure breaks, or a budget is missed: by name, and as its exit code."""
import pytest
from edge_sleep.benchmarks.suite import measures, run
from edge_sleep.benchmarks.suite.budgets import Budgets, Line
from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed
from edge_sleep.benchmarks.suite.figures import Figure
from edge_sleep.benchmarks.suite.measures import Found

from edge_sleep.errors import Exit
from tests.benchmarks.suite.made import DEVICE

HEAD = {"started": "2026-11-28T01:00:00+00:00", "commit": "0123abcd", "device": DEVICE}


def agreed(who, *reasons, entry=None):
    return {entry or who: {"who": who, "dtype": "float32", "loss": 1.0, "reference_loss": 1.0, "cosine": 1.0, "norms": 1.0,
                           "reasons": list(reasons)}}


@pytest.fixture
def suite(monkeypatch, tmp_path):
    """run(names, agreement, **measures): measures that answer at once; returns (document, who was asked in each)."""
    def go(names, agreement, lines=(), **others):
        asked = {}

        def measure(name, answer):
            def work(case, who, say):
                asked[name] = who
                if isinstance(answer, Exception):
                    raise answer
                return answer
            return work

        def check(case, who, say):
            if isinstance(agreement, Exception):
                raise agreement
            return Found(details=agreement)

        monkeypatch.setattr(measures, "agreement", check)
        monkeypatch.setattr(run, "MEASURES", {name: measure(name, others.get(name, Found())) for name in run.MEASURES})
        case = Case(tmp_path, "tiny", 1, 64, "float32", 5, 3, tmp_path, ("hf", "trl"))
        return run.run(case, names, Budgets(format=1, lines=lines), HEAD, lambda text: None), asked
    return go


BOTH = {**agreed("ours"), **agreed("hf"), **agreed("trl")}
STEP = Found([Figure("step_seconds", "ours", [1.0] * 5), Figure("step_seconds", "hf", [2.0] * 5)])


def test_all_is_well(suite):
    document, asked = suite(run.NAMES, BOTH, step=STEP)
    assert document["exit_code"] == Exit.OK and [row["measure"] for row in document["measures"]] == list(run.NAMES)
    assert set(asked.values()) == {("ours", "hf", "trl")}
    assert document["ratios"][0]["median"] == 2.0 and "times better (2.00 to 2.00)" in run.as_text(document)


def test_where_ours_is_wrong_nothing_that_trains_is_timed(suite):
    document, asked = suite(run.NAMES, {**BOTH, **agreed("ours", "the gradient points elsewhere")}, step=STEP)
    assert document["exit_code"] == Exit.DEVICE
    assert not run.TRAIN & set(asked) and set(run.MEASURES) - run.TRAIN == set(asked)
    ended = {row["measure"]: row["outcome"] for row in document["measures"]}
    assert ended["agreement"] == "failed" and {ended[name] for name in run.TRAIN} == {"held back"}
    assert "points elsewhere" in run.as_text(document)


def test_ours_wrong_in_the_exact_type_alone_is_wrong(suite):
    document, asked = suite(["step"], {**BOTH, **agreed("ours", "the loss is off", entry="ours in float32")})
    assert document["exit_code"] == Exit.DEVICE and not asked


def test_a_wrong_peer_is_not_timed_and_is_named(suite):
    document, asked = suite(["step"], {**BOTH, **agreed("trl", "another adapter trains")}, step=STEP)
    assert asked == {"step": ("ours", "hf")} and document["exit_code"] == Exit.DEVICE
    assert document["not_run"][-1]["who"] == "trl" and "another adapter" in document["not_run"][-1]["reason"]


def test_without_a_reference_nothing_that_trains_is_timed(suite):
    document, asked = suite(["step", "limits"], Failed("no reference", Exit.DOES_NOT_FIT))
    assert set(asked) == {"limits"} and document["exit_code"] == Exit.DOES_NOT_FIT


def test_what_does_not_train_needs_no_agreement(suite):
    document, asked = suite(["limits", "load"], RuntimeError("was asked"))
    assert set(asked) == {"limits", "load"} and document["exit_code"] == Exit.OK


def test_a_measure_that_breaks_ends_alone(suite):
    document, asked = suite(["memory", "step"], BOTH, memory=Failed("killed", Exit.DOES_NOT_FIT), step=STEP)
    assert document["exit_code"] == Exit.DOES_NOT_FIT and document["figures"] and "step" in asked
    assert [row["outcome"] for row in document["measures"]] == ["done", "failed", "done"]


MISSED = Line(figure="step_seconds", at_most="1 ms", why="a test")


def test_a_missed_budget(suite):
    document, _ = suite(["step"], BOTH, (MISSED,), step=STEP)
    assert document["exit_code"] == Exit.REJECTED and "MISS" in run.as_text(document)


@pytest.mark.parametrize("codes, expected", [
    ([], 0), ([Exit.REJECTED], 11), ([Exit.STORAGE, Exit.DEVICE], 22), ([Exit.BUG, Exit.DOES_NOT_FIT], 20), ([Exit.BUG, Exit.REJECTED], 50)])
def test_the_worst_code_counts(codes, expected):
    assert run.worst([int(code) for code in codes]) == expected
