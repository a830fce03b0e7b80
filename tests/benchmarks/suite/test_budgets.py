"""Budgets: every profile has lines that can be read; a bound is passed, missed, or not measured."""
import pytest
from edge_sleep.benchmarks.suite import budgets
from edge_sleep.benchmarks.suite.budgets import Budgets, Line
from edge_sleep.benchmarks.suite.figures import Figure, compared

from edge_sleep.device import profile
from edge_sleep.errors import ConfigError


@pytest.mark.parametrize("name", profile.shipped())
def test_every_profile_has_budgets(name):
    found = budgets.load(name)
    assert found.lines and found.memory_bytes > 1 << 30
    board = profile.load(name)
    assert board.memory_bytes is None or found.memory_bytes <= board.memory_bytes / 2
    assert all(line.why.strip() for line in found.lines)


def test_no_budget_is_of_an_unknown_profile():
    assert {file.stem for file in budgets.FOLDER.glob("*.yaml")} <= {budgets.EVERY, *profile.shipped()}


def test_a_profiles_line_takes_the_place_of_the_same_one(tmp_path):
    (tmp_path / "any.yaml").write_text("format: 1\nmemory: 2 GiB\nlines:\n- {figure: step_seconds, at_most: 1 s, why: all}\n"
                                       "- {figure: step_seconds, at_most: 3 s, shapes: [tiny], why: tiny}\n")
    (tmp_path / "board.yaml").write_text("format: 1\nlines:\n- {figure: step_seconds, at_most: 9 s, why: board}\n")
    found = budgets.load("board", tmp_path)
    assert [(line.bound(), line.why) for line in found.lines] == [(9.0, "board"), (3.0, "tiny")]
    assert found.memory_bytes == 2 << 30 and budgets.load("other", tmp_path).lines[0].why == "all"


@pytest.mark.parametrize("text, unit, expected", [("600 MiB", "bytes", 600 * 2**20), ("55min", "seconds", 3300.0), ("2.5 x", "ratio", 2.5),
                                                  ("70 %", "share", 0.7), ("1 kJ", "joules", 1000.0)])
def test_amounts(text, unit, expected):
    assert budgets.amount(text, unit) == pytest.approx(expected)


@pytest.mark.parametrize("line, problem", [
    ({"figure": "warp_speed", "at_most": "1 s"}, "no figure"), ({"figure": "step_seconds"}, "one of at_most"),
    ({"figure": "step_seconds", "at_most": "1 s", "at_least": "1 s"}, "one of at_most"),
    ({"figure": "step_seconds", "at_most": "1 MiB"}, "ms, s, min"), ({"figure": "step_seconds", "at_most": "1 s", "shapes": ["huge"]}, "no shape"),
    ({"figure": "step_seconds", "at_least": "2 x", "against": "nobody"}, "no such peer"),
    ({"figure": "step_seconds", "at_most": "1 s", "colour": "red"}, "colour")])
def test_what_is_no_budget_is_refused_by_name(line, problem, tmp_path):
    import json
    (tmp_path / "any.yaml").write_text(json.dumps({"format": 1, "lines": [line | {"why": "a test"}]}))
    with pytest.raises(ConfigError) as refused:
        budgets.load("cpu", tmp_path)
    assert problem in str(refused.value)


def verdict(line, rounds):
    figures = [Figure(name, who, values) for (name, who), values in rounds.items()]
    documents = [figure.document() for figure in figures]
    return budgets.verdicts(Budgets(format=1, lines=(Line(why="a test", **line),)), "tiny", 64, "float32", documents, compared(figures))


STEPS = {("step_seconds", "ours"): [1.0, 1.2, 0.8, 1.1, 0.9], ("step_seconds", "hf"): [2.0, 2.4, 1.6, 2.2, 1.8]}


@pytest.mark.parametrize("line, passed, sure", [
    ({"figure": "step_seconds", "at_most": "2 s"}, True, True), ({"figure": "step_seconds", "at_most": "1.1 s"}, True, False),
    ({"figure": "step_seconds", "at_most": "0.5 s"}, False, True), ({"figure": "step_seconds", "at_least": "0.95 s"}, True, False),
    ({"figure": "step_seconds", "at_least": "2 x", "against": "hf"}, True, True),
    ({"figure": "step_seconds", "at_least": "2.1 x", "against": "hf"}, False, True),
    ({"figure": "step_seconds", "at_least": "2 x", "against": "trl"}, None, None),
    ({"figure": "step_seconds", "at_most": "9 s", "who": "nobody"}, None, None)])
def test_verdicts(line, passed, sure):
    found, = verdict(line, STEPS)
    assert (found["passed"], found["sure"]) == (passed, sure)
    assert budgets.told(found).split()[0] == {True: "pass", False: "MISS", None: "not"}[passed]


def test_a_line_of_another_shape_says_nothing():
    assert verdict({"figure": "step_seconds", "at_most": "1 ms", "shapes": ("seedling",)}, STEPS) == []


@pytest.mark.parametrize("tokens, lines", [(64, 1), (65, 0)])
def test_a_line_of_larger_steps_says_nothing(tokens, lines):
    assert len(verdict({"figure": "step_seconds", "at_most": "1 ms", "least_tokens": tokens}, STEPS)) == lines


@pytest.mark.parametrize("dtypes, lines", [((), 1), (("float32",), 1), (("bfloat16", "float32"), 1), (("bfloat16", "float16"), 0)])
def test_a_line_holds_for_the_types_that_it_names(dtypes, lines):
    assert len(verdict({"figure": "step_seconds", "at_most": "1 ms", "dtypes": dtypes}, STEPS)) == lines
