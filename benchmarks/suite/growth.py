"""How cost grows, and until where each decision of the design holds: curves, exponents, and what they come to.

A decision's bound is what its curve is allowed to cost. Where the curve comes to it is measured if a point lies beyond it, else
extrapolated, and said to be: by the power of its three largest points or the line through the last two, whichever comes there
sooner, as what is the same at every size flattens a power.
"""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_sleep.benchmarks.suite.children import Failed, ask
from edge_sleep.benchmarks.suite.measures import Say
from edge_sleep.benchmarks.suite.result import FORMAT
from edge_sleep.benchmarks.suite.statistics import Power, power

from edge_sleep.device import environment
from edge_sleep.errors import Exit


class Curve(NamedTuple):
    """module: where its points are measured. of: what grows. unit: of what it costs."""

    module: str
    title: str
    of: str
    unit: str


_STORE, _STEPS = "suite.growth_store", "suite.growth_steps"
CURVES: dict[str, Curve] = {
    "ingest": Curve(_STORE, "Reading talk into a home", "exchanges", "processor seconds"),
    "sketch": Curve(_STORE, "Pairs said to be known that are not", "answers", "mean false count"),
    "select": Curve(_STORE, "Choosing a lesson", "experiences", "processor seconds"),
    "retention": Curve(_STORE, "What retention reads and decides", "nights", "processor seconds"),
    "records": Curve(_STORE, "Reading every night's record", "nights", "processor seconds"),
    "mailbox": Curve(_STORE, "A worker's list of a mailbox", "companions", "processor seconds"),
    "sequence": Curve(_STEPS, "A step of one row", "tokens", "processor seconds"),
    "rows": Curve(_STEPS, "A step of rows of 64 tokens", "tokens", "processor seconds"),
    "rank": Curve(_STEPS, "A step by the adapter's rank", "rank", "processor seconds"),
    "parameters": Curve(_STEPS, "A step by the model's size", "linear parameters", "processor seconds"),
    "tiled_head": Curve(_STEPS, "What a step allocates, loss in tiles", "tokens", "MiB"),
    "dense_head": Curve(_STEPS, "What a step allocates, full logits", "tokens", "MiB")}


class Grown(NamedTuple):
    """A curve as a decision sees it: its points above zero, and the power of the largest of them."""

    points: tuple[tuple[float, float], ...]
    tail: Power

    def reaches(self, bound: float) -> float | None:
        """Where it comes to `bound`: between two points, else the sooner of the tail and of the line through the last two."""
        for (x, y), (beyond, above) in zip(self.points, self.points[1:], strict=False):
            if y < bound <= above:
                return x * (beyond / x) ** (math.log(bound / y) / math.log(above / y))
        if self.points[0][1] >= bound:
            return self.points[0][0]
        (x, y), (beyond, above) = self.points[-2:]
        line = beyond + (bound - above) * (beyond - x) / (above - y) if above > y else None
        return min((found for found in (line, self.tail.reaches(bound)) if found is not None and found > beyond), default=None)


Until = Callable[[Mapping[str, Grown]], "float | None"]
_TAIL = 3


class Decision(NamedTuple):
    """until: where it stops holding, from the curves it names; None where they never come there."""

    decision: str
    needs: tuple[str, ...]
    holds: str
    until: Until
    of: str


def _reaches(curve: str, bound: float) -> Until:
    return lambda grown: grown[curve].reaches(bound)


def _dearer(curve: str, start: float, times: float) -> Until:
    """Where a unit costs `times` of what it costs at `start`."""
    def found(grown: Mapping[str, Grown]) -> float | None:
        above = grown[curve].tail.exponent - 1
        return start * times ** (1 / above) if above > 0.005 else None
    return found


def _meet(one: str, other: str) -> Until:
    """Where two curves cost the same."""
    def found(grown: Mapping[str, Grown]) -> float | None:
        first, second = grown[one].tail, grown[other].tail
        apart = second.exponent - first.exponent
        return (first.scale / second.scale) ** (1 / apart) if abs(apart) > 0.01 else None
    return found


DECISIONS: tuple[Decision, ...] = (
    Decision("an answer is compared through a winnowed index, never with all earlier ones", ("ingest",),
             "an exchange costs at most twice what it costs in a home of 1,000", _dearer("ingest", 1_000, 2.0), "exchanges"),
    Decision("pairs of words are counted in a sketch of 2 million counters", ("sketch",),
             "a pair that was never said counts less than 1 on average", _reaches("sketch", 1.0), "answers"),
    Decision("a lesson is chosen from the whole store", ("select",), "a choice takes at most 2 s", _reaches("select", 2.0),
             "experiences"),
    Decision("retention reads every manifest each night, and a lineage keeps every parent", ("retention",),
             "it takes at most 1 s", _reaches("retention", 1.0), "nights"),
    Decision("status and plan read every night's record", ("records",), "it takes at most 1 s", _reaches("records", 1.0),
             "nights"),
    Decision("a worker lists the whole mailbox at each look", ("mailbox",), "a list takes at most 1 s of the 5 between two looks",
             _reaches("mailbox", 1.0), "companions"),
    Decision("attention is computed in full, in blocks", ("sequence",), "a token of one row costs at most 1.5 times that of 128",
             _dearer("sequence", 128, 1.5), "tokens"),
    Decision("the loss walks the vocabulary in tiles", ("tiled_head", "dense_head"),
             "it allocates less than full logits: from this many tokens on", _meet("tiled_head", "dense_head"), "tokens"))


def run(names: Sequence[str], head: Mapping[str, Any], say: Say, sizes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Measure the curves; a curve that fails is named, and the decisions that need it are not decided."""
    began = time.monotonic()
    curves, failed, codes = [], [], []
    for name in names:
        of = CURVES[name]
        say(f"{name} ...")
        try:
            points = ask(of.module, name, *(("--sizes", sizes[name]) if sizes and name in sizes else ()))["points"]
            curves.append(fitted(name, points))
            say(f"{name}: exponent {curves[-1]['exponent']:.2f} ({curves[-1]['low']:.2f} to {curves[-1]['high']:.2f}), "
                f"{points[-1][1]:.3g} {of.unit} at {points[-1][0]:,.0f} {of.of}")
        except (Failed, ValueError) as error:
            failed.append({"measure": name, "reason": str(error)})
            codes.append(error.code if isinstance(error, Failed) else int(Exit.BUG))
            say(f"{name} failed: {error}")
    return {"format": FORMAT, "benchmark": "growth", **head, "seconds": round(time.monotonic() - began, 1), "curves": curves,
            "decisions": decided(curves), "not_run": failed, "environment": environment.describe(),
            "exit_code": codes[0] if codes else int(Exit.OK)}


def fitted(name: str, points: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The curve with its exponent. What is not above zero is no point of a power, and is left out of the fit."""
    of = CURVES[name]
    fit = power([(x, y) for x, y in points if y > 0])
    return {"curve": name, "name": of.title, "of": of.of, "unit": of.unit, "points": [list(point) for point in points],
            "scale": fit.scale, "exponent": fit.exponent, "low": fit.low, "high": fit.high, "n": fit.n}


def decided(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Every decision whose curves are there: until where it holds, and how that is known."""
    grown = {}
    for curve in curves:
        points = tuple((x, y) for x, y in curve["points"] if y > 0)
        grown[curve["curve"]] = Grown(points, power(points[-_TAIL:]))
    largest = {curve["curve"]: max(x for x, _ in curve["points"]) for curve in curves}
    rows = []
    for one in DECISIONS:
        if not set(one.needs) <= set(grown):
            continue
        until, seen = one.until(grown), min(largest[name] for name in one.needs)
        if until is None:
            told, how = "no end in sight", f"measured up to {seen:,.0f}"
        elif until <= seen:
            told, how = f"{_round(until)} {one.of}", "within what was measured"
        elif until > 1e12:
            told, how = "no end in sight", f"measured up to {seen:,.0f}"
        else:
            told, how = f"{_round(until)} {one.of}", f"extrapolated {until / seen:,.0f} times beyond {seen:,.0f}"
        rows.append({"decision": one.decision, "holds": one.holds, "until": told, "how": how})
    return rows


def _round(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"


def as_text(document: Mapping[str, Any]) -> str:
    lines = [f"{curve['name'][:42]:42}  exponent {curve['exponent']:5.2f} ({curve['low']:.2f} to {curve['high']:.2f})  "
             f"{curve['points'][-1][1]:10.4g} {curve['unit']} at {curve['points'][-1][0]:,.0f} {curve['of']}"
             for curve in document["curves"]]
    lines += ["", *(f"{row['decision']}\n    {row['holds']}: {row['until']} ({row['how']})" for row in document["decisions"])]
    lines += [f"not measured: {row['measure']}: {row['reason']}" for row in document["not_run"]]
    return "\n".join(lines)


def plot(document: Mapping[str, Any], file: Path) -> None:
    """Every curve on logarithmic axes with its fitted line (matplotlib, extra [bench])."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves = document["curves"]
    columns = min(4, len(curves))
    lines = -(-len(curves) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(3.4 * columns, 2.8 * lines), squeeze=False)
    for place, curve in zip(axes.flat, curves, strict=False):
        xs, ys = zip(*curve["points"], strict=True)
        place.loglog(xs, ys, "o", color="#0d6862")
        place.loglog(xs, [curve["scale"] * x ** curve["exponent"] for x in xs], "--", color="grey")
        exponent = f"exponent {curve['exponent']:.2f} ({curve['low']:.2f} to {curve['high']:.2f})"
        place.set_title(f"{curve['name']}\n{exponent}", fontsize=8)
        place.set_xlabel(curve["of"], fontsize=8)
        place.set_ylabel(curve["unit"], fontsize=8)
        place.tick_params(labelsize=7)
    for place in axes.flat[len(curves):]:
        place.set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
