"""What a profile may cost: lines of YAML, each a bound for one figure, held against what was measured.

budgets/any.yaml holds for every profile; PROFILE.yaml adds lines, and replaces those of the same figure, shapes, types and peer.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.suite.case import PEERS, SHAPES
from edge_sleep.benchmarks.suite.figures import KINDS, OURS, written
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_sleep.config import read_yaml
from edge_sleep.errors import ConfigError
from edge_sleep.system.base_record import DTYPES

FOLDER = Path(__file__).resolve().parent.parent / "budgets"
EVERY = "any"
_SCALES: dict[str, dict[str, float]] = {
    "bytes": {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}, "seconds": {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
    "joules": {"J": 1.0, "kJ": 1e3}, "per_second": {"/s": 1.0}, "share": {"%": 0.01}, "flops": {"GFLOP/s": 1e9},
    "bytes_per_second": {"GB/s": 1e9}, "ratio": {"x": 1.0}}


def amount(text: str, unit: str) -> float:
    """A bound such as `600 MiB` in the unit of its figure. Raises ValueError naming what is possible."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(\S+)", text.strip())
    scales = _SCALES[unit]
    if not found or found[2] not in scales:
        raise ValueError(f"{text!r} is not a number with one of {', '.join(scales)}")
    return float(found[1]) * scales[found[2]]


class Line(BaseModel):
    """One bound. `against`: the figure is how many times better ours is than that peer; else ours itself, or `who`'s."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    figure: str
    at_most: str | None = None
    at_least: str | None = None
    against: str | None = None
    who: str = OURS
    shapes: tuple[str, ...] = Field((), description="shapes that it holds for; none: all")
    dtypes: tuple[str, ...] = Field((), description="types of the computation that it holds for; none: all")
    least_tokens: int = Field(0, ge=0, description="tokens of a step from which on it holds")
    why: str = Field(description="where the bound comes from")

    @model_validator(mode="after")
    def _sound(self) -> Line:
        problems = []
        if self.figure not in KINDS:
            problems.append(f"{self.figure} is no figure; there are {', '.join(KINDS)}")
        if (self.at_most is None) == (self.at_least is None):
            problems.append("one of at_most and at_least")
        if self.against is not None and self.against not in PEERS:
            problems.append(f"against {self.against}: no such peer")
        problems += [f"{shape} is no shape" for shape in self.shapes if shape not in SHAPES]
        problems += [f"{dtype} is no type to compute in" for dtype in self.dtypes if dtype not in DTYPES]
        if not problems:
            try:
                self.bound()
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def unit(self) -> str:
        return "ratio" if self.against is not None else KINDS[self.figure].unit

    @property
    def key(self) -> tuple:
        return self.figure, self.against, self.who, self.shapes, self.dtypes

    def bound(self) -> float:
        return amount(self.at_most or self.at_least or "", self.unit)

    def holds_for(self, shape: str, tokens: int, dtype: str) -> bool:
        of_these = (not self.shapes or shape in self.shapes) and (not self.dtypes or dtype in self.dtypes)
        return of_these and tokens >= self.least_tokens


class Budgets(BaseModel):
    """The lines of one file. memory: what a night may take, as the profile's board leaves it to a night."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(ge=1, le=1)
    memory: str | None = None
    lines: tuple[Line, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Budgets:
        if self.memory is not None:
            amount(self.memory, "bytes")
        return self

    @property
    def memory_bytes(self) -> int | None:
        return None if self.memory is None else int(amount(self.memory, "bytes"))


def load(profile: str, folder: Path = FOLDER) -> Budgets:
    """The budgets of a profile, on top of those of every profile. Raises ConfigError naming every problem."""
    common = _read(folder / f"{EVERY}.yaml")
    file = folder / f"{profile}.yaml"
    if not file.is_file():
        return common
    own = _read(file)
    lines = {line.key: line for line in (*common.lines, *own.lines)}
    return Budgets(format=1, memory=own.memory or common.memory, lines=tuple(lines.values()))


def _read(file: Path) -> Budgets:
    try:
        return Budgets.model_validate(read_yaml(file))
    except ValidationError as error:
        raise ConfigError([f"{'.'.join(map(str, item['loc'])) or 'budgets'}: {item['msg']}" for item in error.errors()],
                          str(file)) from None


def verdicts(budgets: Budgets, shape: str, tokens: int, dtype: str, figures: Sequence[dict[str, Any]],
             ratios: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line that holds for this shape, type and so many tokens a step: passed, missed (False), or null where it was not
    measured.

    The median decides. `sure`: the whole of its noise lies on that side too.
    """
    found = []
    for line in budgets.lines:
        if not line.holds_for(shape, tokens, dtype):
            continue
        if line.against is not None:
            row = next((row for row in ratios if (row["figure"], row["against"]) == (line.figure, line.against)), None)
        else:
            row = next((row for row in figures if (row["figure"], row["who"]) == (line.figure, line.who)), None)
        bound, most = line.bound(), line.at_most is not None

        def inside(value: float, bound: float = bound, most: bool = most) -> bool:
            return value <= bound if most else value >= bound

        passed = None if row is None else inside(row["median"])
        sure = None if row is None else inside(row["low"]) == inside(row["high"]) == passed
        found.append({"figure": line.figure, "against": line.against, "who": line.who, "unit": line.unit, "bound": bound,
                      "side": "at_most" if most else "at_least", "value": None if row is None else row["median"],
                      "passed": passed, "sure": sure, "why": line.why})
    return found


def told(verdict: dict[str, Any]) -> str:
    """One line for people."""
    unit = verdict["unit"]
    show = (lambda value: f"{value:.2f} times") if unit == "ratio" else (lambda value: written(value, unit))
    name = KINDS[verdict["figure"]].words + (f", better than {verdict['against']} by" if verdict["against"] else "")
    state = {True: "pass", False: "MISS", None: "not measured"}[verdict["passed"]]
    value = "" if verdict["value"] is None else f"{show(verdict['value'])}, "
    unsure = " (within its noise)" if verdict["sure"] is False else ""
    return f"{state}  {name}: {value}{verdict['side'].replace('_', ' ')} {show(verdict['bound'])}{unsure}"
