"""A result as the suite makes it, from chosen rounds and without measuring anything."""
from __future__ import annotations

from typing import Any

from edge_sleep.benchmarks.suite import budgets
from edge_sleep.benchmarks.suite.figures import Figure, compared

DEVICE = {"name": "Test Processor 9", "profile": "cpu", "profile_reason": "a test", "cores": 2, "threads": "1",
          "load_average": [0.1, 0.2, 0.3], "memory_bytes": 8 << 30, "available_bytes": 4 << 30, "gpu": None}


def result(rounds: dict[tuple[str, str], list[float]] | None = None, **more: Any) -> dict[str, Any]:
    """rounds: {(figure, who): values}."""
    rounds = rounds or {("step_seconds", "ours"): [1.0, 1.1, 0.9, 1.0, 1.05], ("step_seconds", "hf"): [2.0, 2.2, 1.9, 2.1, 2.0],
                        ("train_peak_bytes", "ours"): [100.0 * 2**20] * 2, ("night_seconds", "ours"): [60.0],
                        ("night_train_seconds", "ours"): [40.0], ("night_judge_seconds", "ours"): [15.0]}
    figures = [Figure(name, who, values) for (name, who), values in rounds.items()]
    documents, ratios = [figure.document() for figure in figures], compared(figures)
    lines = (budgets.Line(figure="step_seconds", at_most="2 s", why="a test"),
             budgets.Line(figure="step_seconds", at_least="3 x", against="hf", why="a test"),
             budgets.Line(figure="step_joules", at_most="1 J", why="a test"))
    verdicts = budgets.verdicts(budgets.Budgets(format=1, lines=lines), "tiny", 64, "float32", documents, ratios)
    agreement = {"measure": "agreement", "outcome": "done", "reason": None, "seconds": 1.0, "details": {
        "ours": {"who": "ours", "dtype": "float32", "loss": 7.5, "reference_loss": 7.5, "cosine": 1.0, "norms": 1.0, "reasons": []}}}
    return {"format": 1, "benchmark": "suite", "started": "2026-11-28T01:00:00+00:00", "commit": "0123abcd", "device": DEVICE,
            "seconds": 10.0, "shape": "tiny", "batch": "1x64", "dtype": "float32", "rounds": 5, "steps": 3, "sets": [],
            "measures": [agreement, {"measure": "night", "outcome": "failed", "reason": "a night ended rejected", "seconds": 1.0}],
            "figures": documents, "ratios": ratios, "budgets": verdicts,
            "not_run": [{"measure": "step_joules", "reason": "no sensor here"}], "environment": {"python": "3.11", "torch": None},
            "exit_code": 11} | more
