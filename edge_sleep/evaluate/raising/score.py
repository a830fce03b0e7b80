"""Values of one set of answers, and of base, incumbent and candidate side by side."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from edge_sleep.data.words import normalised
from edge_sleep.evaluate.gate import paired_interval
from edge_sleep.evaluate.raising.metrics import DEFINITIONS, VERSION, Definition, Setting
from edge_sleep.evaluate.raising.reading import Answer, Reading
from edge_sleep.evaluate.raising.spread import Spread

COLLAPSED, LANGUAGE, NO_ANSWERS, NO_TOPIC, UNLABELLED = "collapsed", "language", "no answers", "no topic", "unlabelled"


@dataclass(frozen=True)
class Metric:
    """A value in [0, 1], over n different answers (questions, for a metric per question); null with the reason."""

    value: float | None
    n: int
    reason: str | None = None
    version: str = VERSION


@dataclass(frozen=True)
class _Group:
    """Answers that count as one: what they earn, of how much."""

    places: Sequence[int]
    points: float
    out_of: float


class _Set:
    """One set of answers, read once for all metrics."""

    def __init__(self, answers: Sequence[Answer], names: Sequence[str], others: Sequence[str], system_prompt: str) -> None:
        self.answers = answers
        self.spread = Spread([Reading(answer) for answer in answers])
        setting = Setting.of(answers, names, others, system_prompt)
        self.values = {name: [definition.of(reading, setting) for reading in self.spread.readings]
                       for name, definition in DEFINITIONS.items()}

    def judged(self, name: str) -> set[int]:
        return {place for place, value in enumerate(self.values[name]) if value is not None}

    def hidden(self, name: str) -> bool:
        """Whether a rate would speak of a collapse."""
        return DEFINITIONS[name].kind != "score" and self.spread.collapsed

    def why_not(self, name: str) -> str:
        """Why nothing is judged."""
        if not self.answers:
            return NO_ANSWERS
        if name == "unknown_when_due" and all(answer.answerable is None for answer in self.answers):
            return UNLABELLED
        return NO_TOPIC if name == "d4_attention" else LANGUAGE

    def groups(self, name: str, judged: set[int]) -> list[_Group]:
        definition = DEFINITIONS[name]
        if definition.kind == "question":
            return self._questions(name, judged)
        return [self._as_one(name, definition, places) for members in self.spread.classes.values()
                if (places := [place for place in members if place in judged])]

    def _as_one(self, name: str, definition: Definition, places: Sequence[int]) -> _Group:
        worth = {place: float(self.values[name][place] or 0) for place in places}
        if definition.kind == "rate":
            return _Group(places, definition.worst(worth.values()), 1.0)
        spread = self.spread
        points = min(value * spread.sound[place] * spread.fresh[place] for place, value in worth.items())
        return _Group(places, points, spread.turns(places))

    def _questions(self, name: str, judged: set[int]) -> list[_Group]:
        asked: dict[tuple[bool | None, str], list[int]] = {}
        for place in sorted(judged):
            answer = self.answers[place]
            asked.setdefault((answer.answerable, normalised(answer.prompt)), []).append(place)
        sides = Counter(answerable for answerable, _ in asked)
        return [_Group(places, min(float(self.values[name][place] or 0) for place in places) / sides[answerable],
                       1 / sides[answerable]) for (answerable, _), places in asked.items()]


def _value(groups: Sequence[_Group]) -> float:
    # fsum: the same to the last bit in whatever order the answers come.
    return fsum(group.points for group in groups) / fsum(group.out_of for group in groups)


def score(answers: Sequence[Answer], *, names: Sequence[str] = (), others: Sequence[str] = (),
          system_prompt: str = "") -> dict[str, Metric]:
    """Every metric of one set.

    names: the companion's; others: speakers that it must not take itself for; system_prompt: what it was told.
    """
    of = _Set(answers, names, others, system_prompt)
    found = {}
    for name in DEFINITIONS:
        groups = of.groups(name, of.judged(name))
        if not groups:
            found[name] = Metric(None, 0, of.why_not(name))
        elif of.hidden(name):
            found[name] = Metric(None, len(groups), COLLAPSED)
        else:
            found[name] = Metric(_value(groups), len(groups))
    return found


def _each(groups: Sequence[_Group], judged: Sequence[int]) -> list[float]:
    """What each answer adds, so that the plain mean is the metric: shares of its group's points."""
    scale = len(judged) / fsum(group.out_of for group in groups)
    adds = {place: group.points * scale / len(group.places) for group in groups for place in group.places}
    return [adds[place] for place in judged]


def compare(base: Sequence[Answer], before: Sequence[Answer], after: Sequence[Answer], *, names: Sequence[str] = (),
            others: Sequence[str] = (), system_prompt: str = "") -> dict[str, dict[str, Any]]:
    """Every metric of base, incumbent and candidate over the questions that are judged under all three, n of them.

    low, high: 95 % bootstrap interval of after - before, paired by question, with each set's likeness to itself held
    as it was found. A state whose value is null takes its interval with it. ValueError: the questions are not the same.
    """
    if not [answer.prompt for answer in base] == [answer.prompt for answer in before] == [answer.prompt for answer in after]:
        raise ValueError("base, before and after are compared on the same questions in the same order; these differ")
    states = {state: _Set(answers, names, others, system_prompt)
              for state, answers in (("base", base), ("before", before), ("after", after))}
    found = {}
    for name in DEFINITIONS:
        judged = set.intersection(*(of.judged(name) for of in states.values()))
        row: dict[str, Any] = dict.fromkeys(("base", "before", "after", "low", "high"))
        row |= {"n": len(judged), "reason": None, "version": VERSION}
        groups = {state: of.groups(name, judged) for state, of in states.items()}
        seen = [state for state, of in states.items() if judged and not of.hidden(name)]
        row |= {state: _value(groups[state]) for state in seen}
        if "before" in seen and "after" in seen:
            order = sorted(judged)
            row["low"], row["high"] = paired_interval(_each(groups["before"], order), _each(groups["after"], order))
        if not judged:
            row["reason"] = states["after"].why_not(name)
        elif len(seen) < len(states):
            row["reason"] = COLLAPSED
        found[name] = row
    return found
