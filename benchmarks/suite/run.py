"""One run of the suite: correctness first, then what was asked for, then the budgets; the document says all of it.

The order is fixed. A contender whose step is not the reference's is timed by nobody; where it is ours, nothing that trains is.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from edge_sleep.benchmarks.suite import budgets as budget_lines
from edge_sleep.benchmarks.suite import measures, morning, night
from edge_sleep.benchmarks.suite.budgets import Budgets
from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed
from edge_sleep.benchmarks.suite.figures import KINDS, OURS, Figure, compared, written
from edge_sleep.benchmarks.suite.measures import Found, Say
from edge_sleep.benchmarks.suite.result import BENCHMARK, FORMAT

from edge_sleep.device import environment
from edge_sleep.errors import Exit

Measure = Callable[[Case, tuple[str, ...], Say], Found]
# In this order. Those that train are held back where ours does not take the reference's step.
MEASURES: dict[str, Measure] = {
    "limits": lambda case, who, say: measures.limits(case, say), "memory": measures.memory,
    "load": lambda case, who, say: measures.load(case, say), "step": measures.step,
    "night": lambda case, who, say: night.night(case, say), "export": lambda case, who, say: morning.export(case, say),
    "morning": lambda case, who, say: morning.morning(case, say)}
TRAIN = frozenset({"memory", "step", "night"})
AGREEMENT = "agreement"
NAMES = (AGREEMENT, *MEASURES)


def run(case: Case, names: Sequence[str], budgets: Budgets, head: dict[str, Any], say: Say) -> dict[str, Any]:
    """The document of the run. head: what stands in front of it (device, commit, start)."""
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    figures: list[Figure] = []
    not_run: list[dict[str, str]] = list(case.not_run)
    codes: list[int] = []

    def one(name: str, work: Callable[[], Found]) -> Found | None:
        say(f"{name} ...")
        start = time.monotonic()
        row: dict[str, Any] = {"measure": name, "outcome": "done", "reason": None}
        found = None
        try:
            found = work()
            figures.extend(figure for figure in found.figures if figure.values)
            not_run.extend(found.not_run)
            row["details"] = found.details
        except Failed as failed:
            codes.append(failed.code)
            row |= {"outcome": "failed", "reason": failed.reason, "exit_code": failed.code}
            say(f"{name} failed: {failed.reason}")
        row["seconds"] = round(time.monotonic() - start, 2)
        rows.append(row)
        return found

    def held_back(name: str, why: str) -> None:
        rows.append({"measure": name, "outcome": "held back", "reason": why, "seconds": 0.0})
        say(f"{name} held back: {why}")

    who = (OURS, *case.against)
    trusted: tuple[str, ...] = who
    wrong: str | None = None
    if AGREEMENT in names or TRAIN & set(names):
        found = one(AGREEMENT, lambda: measures.agreement(case, who, say))
        details = found.details if found is not None else {}
        failed = measures.failed_check(details)
        if found is None or failed is not None:
            wrong = "ours does not take the reference's step" if failed else "there is nothing to hold a step against"
        if failed is not None:
            codes.append(failed.code)
            rows[-1] |= {"outcome": "failed", "reason": failed.reason, "exit_code": failed.code}
        trusted = tuple(name for name in who if details.get(name, {}).get("reasons") == [])
        for name in case.against:
            if found is not None and name not in trusted:
                codes.append(int(Exit.DEVICE))
                why = "; ".join(details[name]["reasons"])
                not_run.append({"who": name, "reason": f"its step is not the reference's: {why}"})
    for name, measure in MEASURES.items():
        if name in names:
            if name in TRAIN and wrong is not None:
                held_back(name, wrong)
            else:
                one(name, lambda measure=measure: measure(case, trusted, say))          # type: ignore[misc]
    ratios = compared(figures)
    documents = [figure.document() for figure in figures]
    judged = budget_lines.verdicts(budgets, case.shape, case.rows * case.tokens, case.dtype, documents, ratios)
    if not codes and any(verdict["passed"] is False for verdict in judged):
        codes.append(int(Exit.REJECTED))
    return {"format": FORMAT, "benchmark": BENCHMARK, **head, "seconds": round(time.monotonic() - began, 1), "shape": case.shape,
            "batch": case.batch, "dtype": case.dtype, "rounds": case.rounds, "steps": case.steps, "sets": list(case.sets),
            "measures": rows, "figures": documents, "ratios": ratios, "budgets": judged, "not_run": not_run,
            "environment": environment.describe(), "exit_code": worst(codes)}


def worst(codes: Sequence[int]) -> int:
    """One exit code of many: a step that is wrong before a measure that ended badly, that before a missed budget."""
    order = (int(Exit.DEVICE), int(Exit.DOES_NOT_FIT))
    for code in (*order, *(code for code in codes if code not in (*order, int(Exit.REJECTED)))):
        if code in codes:
            return code
    return codes[0] if codes else int(Exit.OK)


def as_text(document: dict[str, Any]) -> str:
    """The table for people: figures with their noise, how many times better than each peer, budgets, what was not run."""
    lines = [f"{document['shape']}, {document['batch']} tokens, {document['dtype']}, on {document['device']['name']} "
             f"({document['device']['cores']} cores), profile {document['device']['profile']}, commit {document['commit']}", ""]
    against = {(row["figure"], row["against"]): row for row in document["ratios"]}
    for row in document["figures"]:
        unit, ratio = row["unit"], against.get((row["figure"], row["who"]))
        noise = f" ({written(row['low'], unit)} to {written(row['high'], unit)}, n {row['n']})" if row["n"] > 1 else ""
        beside = "" if ratio is None else \
            f"   ours {ratio['median']:.2f} times better ({ratio['low']:.2f} to {ratio['high']:.2f})"
        lines.append(f"{KINDS[row['figure']].words[:58]:58}  {row['who']:18}  {written(row['median'], unit):>14}{noise}{beside}")
    if document["budgets"]:
        lines += ["", "Budgets:", *(f"  {budget_lines.told(verdict)}" for verdict in document["budgets"])]
    bad = [row for row in document["measures"] if row["outcome"] != "done"]
    if bad or document["not_run"]:
        lines += ["", "Not measured:"]
        lines += [f"  {row['measure']}: {row['outcome']}: {row['reason']}" for row in bad]
        lines += [f"  {row.get('who') or row.get('measure')}: {row['reason']}" for row in document["not_run"]]
    return "\n".join(lines)
