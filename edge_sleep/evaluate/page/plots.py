"""Small plots as SVG, made for 340 pixels: at that width, a phone's, their letters keep their size.

Every plot carries its numbers in words (`words`), for who does not see it. Colours come from the page's classes.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from edge_sleep.evaluate.page.markup import Raw, el
from edge_sleep.evaluate.page.words import known

WIDTH, HEIGHT = 340, 128
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 10, 8, 21
_MOST = 1e300                             # what lies beyond is drawn there: differences must stay finite
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)

Point = tuple[float, float | None]


class Axis(NamedTuple):
    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Series:
    points: Sequence[Point]               # y None: a gap
    kind: Literal["line", "step", "dots"] = "line"
    css: str = "main"


class Span(NamedTuple):
    """A stretch of the x axis to shade."""

    start: float
    end: float
    css: str


def axis(values: Iterable[float], most: int = 4, integers: bool = False) -> Axis:
    """Round bounds around the values, with at most about `most` round ticks."""
    clamped = [min(_MOST, max(-_MOST, value)) for value in values] or [0.0]
    low, high = min(clamped), max(clamped)
    if high - low <= max(abs(low), abs(high)) * 1e-9 + 1e-12:
        pad = abs(high) * 0.05 + 0.5 * (abs(high) < 1e-9)
        low, high = low - pad, high + pad
    rough = max((high - low) / most, 1.0 if integers else 0.0)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * magnitude for nice in _NICE if nice * magnitude >= rough * (1 - 1e-9))
    if integers:
        step = math.ceil(step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, max(last, first + 1) * step, tuple(count * step for count in range(first, last + 1)[:12]))


def tick(value: float) -> str:
    """A tick's number, short."""
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if scale <= abs(value) < 1e15:
            return f"{round(value / (1e3 if suffix == 'k' else scale), 9):.5g}{suffix}".replace("-", "\u2212")
    return (f"{value:.1e}" if abs(value) >= 1e15 else f"{round(value, 9):.5g}").replace("-", "\u2212")


def thin(points: Sequence[Point], most: int = 150) -> list[Point]:
    """At most twice as many points: the lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) <= 2 * most:
        return list(points)
    kept: list[Point] = []
    for index in range(most):
        part = points[index * len(points) // most:(index + 1) * len(points) // most]
        heights = [(height, place) for place, (_, y) in enumerate(part) if (height := known(y)) is not None]
        kept += [part[place] for place in sorted({min(heights)[1], max(heights)[1]})] if heights else [part[0]]
    return kept


def chart(series: Sequence[Series], *, words: str, include: Iterable[float] = (), spans: Sequence[Span] = (),
          seams: Sequence[float] = (), across: Sequence[float] = (), integers: bool = False,
          until: float | None = None) -> Raw | None:
    """Lines, steps and dots over one x axis; None where no point is known.

    include: y values that must be in sight. seams: x values with a vertical line. across: y values with a horizontal one.
    integers: x counts things. until: the x axis reaches so far.
    """
    drawn = [(one, [(x, known(y)) for x, y in thin(one.points)]) for one in series]
    heights = [y for _, points in drawn for _, y in points if y is not None]
    if not heights:
        return None
    widths = [x for _, points in drawn for x, _ in points] + [edge for span in spans for edge in span[:2]]
    # The x axis ends where the data does; what is counted has room for its first and last dot.
    reach, room = [*widths, *([0.0, until] if until is not None else [])], 0.5 if integers else 0.0
    x_axis = axis(reach, 5, integers)
    if max(reach) > min(reach):
        low, high = min(reach) - room, max(reach) + room
        x_axis = Axis(low, high, tuple(value for value in x_axis.ticks if low <= value <= high))
    y_axis = axis([*heights, *include, *across], 4)
    place = _Place(x_axis, y_axis)
    parts: list[Any] = [place.shade(span) for span in spans]
    parts += [_tick_line(place, value) for value in y_axis.ticks]
    parts += [_under(place, value) for value in x_axis.ticks]
    parts += [el("line", x1=_n(place.x(x)), x2=_n(place.x(x)), y1=_TOP, y2=HEIGHT - _BOTTOM, class_="seam") for x in seams]
    parts += [el("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_n(place.y(y)), y2=_n(place.y(y)), class_="across") for y in across]
    parts += [place.draw(one, points) for one, points in drawn]
    return picture(HEIGHT, words, parts)


def picture(height: float, words: str, parts: Iterable[Any]) -> Raw:
    return el("svg", *parts, viewBox=f"0 0 {WIDTH} {height:g}", role="img", aria_label=words)


class _Place:
    """Where values lie in the picture."""

    def __init__(self, x_axis: Axis, y_axis: Axis):
        self.x_axis, self.y_axis = x_axis, y_axis

    def x(self, value: float) -> float:
        return _LEFT + min(1.0, max(0.0, self.x_axis.share(value))) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = min(1.0, max(0.0, self.y_axis.share(min(_MOST, max(-_MOST, value)))))
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def shade(self, span: Span) -> Raw:
        left, right = self.x(span.start), self.x(span.end)
        return el("rect", x=_n(left), y=_TOP, width=_n(max(1.0, right - left)), height=HEIGHT - _TOP - _BOTTOM,
                  class_=f"span {span.css}")

    def draw(self, one: Series, points: Sequence[Point]) -> list[Raw]:
        if one.kind == "dots":
            return [el("circle", cx=_n(self.x(x)), cy=_n(self.y(y)), r=3.2, class_=f"dot {one.css}")
                    for x, y in points if y is not None]
        drawn = []
        for run in _runs(points):
            spots = [(self.x(x), self.y(y)) for x, y in run]
            if len(spots) == 1:
                drawn.append(el("circle", cx=_n(spots[0][0]), cy=_n(spots[0][1]), r=2, class_=f"dot {one.css}"))
                continue
            path = f"M{_n(spots[0][0])} {_n(spots[0][1])}"
            for x, y in spots[1:]:
                path += f"H{_n(x)}V{_n(y)}" if one.kind == "step" else f"L{_n(x)} {_n(y)}"
            drawn.append(el("path", d=path, class_=f"line {one.css}"))
        return drawn


def _runs(points: Iterable[Point]) -> list[list[tuple[float, float]]]:
    """The stretches between gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _tick_line(place: _Place, value: float) -> list[Raw]:
    y = place.y(value)
    return [el("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=_n(y), y2=_n(y), class_="grid"),
            letters(tick(value), _LEFT - 5, y + 3.5, "end")]


def _under(place: _Place, value: float) -> Raw:
    x, written = place.x(value), tick(value)
    return letters(written, min(x, WIDTH - 3.0 * len(written) - 2), HEIGHT - 6, "middle")


def letters(written: str, x: float, y: float, anchor: str = "start", css: str = "t") -> Raw:
    return el("text", written, x=_n(x), y=_n(y), text_anchor=anchor, class_=css)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# A metric: where base, before and after lie, and beside it how sure the change is.
_VALUES, _CHANGES = (8.0, 168.0), (206.0, 332.0)
_ROW = 44


def measure(entry: dict[str, Any], values: Axis, changes: Axis, words: str) -> Raw:
    """One metric: base (diamond), before (ring) and after (disc) on `values`; the interval of the change on `changes`."""

    def at(zone: tuple[float, float], scale: Axis, value: float) -> float:
        return zone[0] + min(1.0, max(0.0, scale.share(value))) * (zone[1] - zone[0])

    parts: list[Any] = []
    for zone, scale in ((_VALUES, values), (_CHANGES, changes)):
        parts.append(el("line", x1=zone[0], x2=zone[1], y1=16, y2=16, class_="grid"))
        for value in (scale.low, *([0.0] if scale.low < 0 < scale.high else []), scale.high):
            sign = "+" if scale is changes and value > 0 else ""
            parts.append(letters(f"{sign}{tick(value)}", at(zone, scale, value), 40, "middle"))
    zero = at(_CHANGES, changes, 0.0)
    parts.append(el("line", x1=_n(zero), x2=_n(zero), y1=4, y2=28, class_="seam"))
    base, before, after, low, high = (known(entry.get(name)) for name in ("base", "before", "after", "low", "high"))
    if before is not None and after is not None:
        left, right = at(_VALUES, values, before), at(_VALUES, values, after)
        parts.append(el("line", x1=_n(left), x2=_n(right), y1=16, y2=16, class_="link"))
    if base is not None:
        x = at(_VALUES, values, base)
        parts.append(el("path", d=f"M{_n(x)} 9l5 7l-5 7l-5 -7z", class_="base"))
    if before is not None:
        parts.append(el("circle", cx=_n(at(_VALUES, values, before)), cy=16, r=5, class_="before"))
    if after is not None:
        parts.append(el("circle", cx=_n(at(_VALUES, values, after)), cy=16, r=4, class_="after"))
    if low is not None and high is not None:
        css = "sure" if low > 0 or high < 0 else "unsure"
        parts.append(el("line", x1=_n(at(_CHANGES, changes, low)), x2=_n(at(_CHANGES, changes, high)), y1=16, y2=16,
                        class_=f"interval {css}"))
        if before is not None and after is not None:
            parts.append(el("circle", cx=_n(at(_CHANGES, changes, after - before)), cy=16, r=4, class_=f"change {css}"))
    return picture(_ROW, words, parts)


def bars(rows: Sequence[tuple[str, float, float, str]], limit: float | None, words: str,
         until: float | None = None) -> Raw | None:
    """Stretches one below the other: (name, begin, end, what stands beside it); `limit`: a line they should not cross.

    until: the axis reaches so far, where bars that begin at its start need room behind their end.
    """
    if not rows:
        return None
    left, row = 68.0, 20.0
    scale = axis([0.0, *(end for _, _, end, _ in rows), *(mark for mark in (limit, until) if mark is not None)], 4)
    height = row * len(rows) + 26
    room = WIDTH - _RIGHT - left

    def at(value: float) -> float:
        return left + min(1.0, max(0.0, scale.share(value))) * room

    parts: list[Any] = []
    for value in scale.ticks:
        parts.append(el("line", x1=_n(at(value)), x2=_n(at(value)), y1=2, y2=_n(height - 22), class_="grid"))
        parts.append(letters(tick(value), min(at(value), WIDTH - 3.0 * len(tick(value)) - 2), height - 8, "middle"))
    for index, (name, begin, end, beside) in enumerate(rows):
        y = 2 + index * row
        width = max(1.5, at(end) - at(begin))
        parts.append(letters(name, left - 6, y + 14, "end", "t ink"))
        parts.append(el("rect", x=_n(at(begin)), y=_n(y + 4), width=_n(width), height=12, rx=1.5, class_="bar"))
        after = at(begin) + width + 5
        fits = after + 6.2 * len(beside) < WIDTH
        parts.append(letters(beside, after if fits else at(begin) - 5, y + 14, "start" if fits else "end", "t ink"))
    if limit is not None:
        parts.append(el("line", x1=_n(at(limit)), x2=_n(at(limit)), y1=0, y2=_n(height - 22), class_="limit"))
    return picture(height, words, parts)
