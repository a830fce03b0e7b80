"""Exit codes and outcomes are what systemd units, scripts and the record's readers were promised."""
from __future__ import annotations

from edge_sleep import errors
from edge_sleep.errors import Exit, Outcome

PROMISED = {
    "OK": 0, "USAGE": 2, "NOTHING_TO_DO": 10, "REJECTED": 11, "STOPPED_TIME": 12, "STOPPED_HEAT": 13, "PREEMPTED": 14,
    "NO_EFFECT": 15, "SHIPPED": 16, "BUSY": 17, "DOES_NOT_FIT": 20, "STORAGE": 21, "DEVICE": 22, "MODEL": 23,
    "INTEGRITY": 30, "SYNC": 40, "REMOTE_REFUSED": 41, "BUG": 50}
OUTCOMES = {"promoted": 0, "nothing_to_do": 10, "rejected": 11, "no_effect": 15, "stopped_time": 12, "stopped_heat": 13,
            "preempted": 14, "shipped": 16, "does_not_fit": 20, "integrity": 30, "failed": 50}


def test_the_codes_are_those_promised() -> None:
    assert {code.name: int(code) for code in Exit} == PROMISED


def test_every_outcome_has_its_code() -> None:
    assert {outcome.value: int(outcome.exit_code) for outcome in Outcome} == OUTCOMES


def test_only_what_can_go_on_is_resumable() -> None:
    assert {outcome.value for outcome in Outcome if outcome.resumable} == {"stopped_time", "stopped_heat", "preempted", "shipped"}


def _tree(kind: type) -> list[type]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def test_every_error_has_a_code_and_stands_in_the_drawing() -> None:
    for kind in _tree(errors.EdgeSleepError):
        assert kind.exit_code in Exit and kind.outcome in Outcome
        if kind.__module__ == errors.__name__:
            assert kind.__name__ in (errors.__doc__ or "")


def test_an_error_says_what_to_do() -> None:
    assert str(errors.Busy("held", "wait")) == "held\n  do: wait"
