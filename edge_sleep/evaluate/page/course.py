"""The night as it went: its runs put end to end, readings and events placed on that one clock."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.evaluate.page.plots import Point, Span
from edge_sleep.evaluate.page.words import known, moment

# A rest's cause as the record names it -> in words; also the class of its shade.
CAUSES = {"heat": "heat", "throttled": "the kernel's own throttling", "power": "the power cap", "energy": "the energy budget",
          "telemetry_lost": "lost telemetry"}


@dataclass(frozen=True)
class Course:
    """Seconds of the night: a night that was stopped and went on later has several runs, and what lay between is left out."""

    runs: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def seconds(self) -> float:
        return sum((end - begin).total_seconds() for begin, end in self.runs)

    @property
    def seams(self) -> list[float]:
        """Where a later run begins."""
        ends, passed = [], 0.0
        for begin, end in self.runs[:-1]:
            passed += (end - begin).total_seconds()
            ends.append(passed)
        return ends

    def at(self, when: datetime) -> float:
        index = max(0, bisect_right([begin for begin, _ in self.runs], when) - 1)
        before = sum((end - begin).total_seconds() for begin, end in self.runs[:index])
        begin, end = self.runs[index]
        return before + max(0.0, (min(when, end) - begin).total_seconds())


def course(events: Sequence[dict]) -> Course:
    """From the log: every run begins with `night`, and ends with the last that was told of it."""
    runs: list[tuple[datetime, datetime]] = []
    for event in events:
        when = moment(event.get("at"))
        if when is None:
            continue
        if not runs or (event.get("event") == "night" and event.get("state") in ("begin", "resume")):
            runs.append((when, when))
        elif when > runs[-1][1]:
            runs[-1] = (runs[-1][0], when)
    return Course(tuple(sorted(runs)))


def placed(shape: Course, events: Sequence[dict], readings: Sequence[Sequence[Reading]]) -> list[tuple[float, Reading]]:
    """(second of the night, reading). A run's first reading is taken as it says that it has a source: the clock of readings
    is no wall clock, and starts anew with the machine.
    """
    begun = [when for event in events if event.get("event") == "telemetry" and event.get("source") not in (None, "none")
             and (when := moment(event.get("at"))) is not None]
    found = []
    for when, group in zip(begun, readings, strict=False):
        for reading in group if shape.runs else ():
            since = reading.at - group[0].at
            if known(since) is not None and abs(since) < 1e7:
                found.append((shape.at(when + timedelta(seconds=since)), reading))
    return sorted(found, key=lambda item: item[0])


def pauses(shape: Course, events: Sequence[dict]) -> list[Span]:
    """Stretches in which nothing was worked, by their cause."""
    return [Span(begin, end, cause) for begin, end, duty, cause in _paces(shape, events) if duty == 0.0 and end > begin]


def duty(shape: Course, events: Sequence[dict]) -> list[Point]:
    """Share of the time that might be worked, as steps."""
    points: list[Point] = []
    for begin, end, share, _ in _paces(shape, events):
        points += [(begin, share), (end, share)]
    return points


def _paces(shape: Course, events: Sequence[dict]) -> list[tuple[float, float, float, str]]:
    """(begin, end, duty, cause) of every pace that was held; a run begins at full pace."""
    changes: list[tuple[float, float, str]] = []
    for event in events:
        when = moment(event.get("at"))
        if when is None or not shape.runs:
            continue
        if event.get("event") == "telemetry" and event.get("source") not in (None, "none"):
            changes.append((shape.at(when), 1.0, "none"))
        elif event.get("event") == "pace" and (share := known(event.get("duty"))) is not None:
            changes.append((shape.at(when), min(1.0, max(0.0, share)), str(event.get("cause"))))
    ends = [begin for begin, _, _ in changes[1:]] + [shape.seconds]
    return [(begin, end, share, cause) for (begin, share, cause), end in zip(changes, ends, strict=True)] if changes else []


def losses(events: Sequence[dict]) -> tuple[list[list[Point]], list[Point]]:
    """(the training of each candidate, loss on held-out talk), both over steps."""
    lines: list[list[Point]] = [[]]
    held_out: list[Point] = []
    for event in events:
        kind = event.get("event")
        step = known(event.get("step"))
        if kind == "step" and step is not None:
            if lines[-1] and step <= lines[-1][-1][0]:             # what a cut took back is done again
                lines[-1] = [point for point in lines[-1] if point[0] < step]
            lines[-1].append((step, known(event.get("loss"))))
        elif kind == "candidate" and lines[-1]:
            lines.append([])
        elif kind == "held_out":
            held_out.append((lines[-1][-1][0] if lines[-1] else 0.0, known(event.get("loss"))))
    return [line for line in lines if line], held_out
