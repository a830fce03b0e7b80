"""Puzzles of grids: the same turn, colours or shift on every grid of the question and of its answer.

A grid is a rectangle of one-digit integers (colours), as nested JSON lists or as lines of digits, at least
2 by 2. What the text around the grids says decides what may be done: no turning where it names a direction,
no new colours where it names one. The dihedral transforms are the eight symmetries of the square (D4).
"""
from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

Grid = tuple[tuple[int, ...], ...]
BACKGROUND = 0
_LONGEST = 20_000                         # characters of a side; no puzzle is longer

_ROW = r"\[\s*\d(?:\s*,\s*\d)+\s*\]"
_NESTED = re.compile(rf"\[\s*{_ROW}(?:\s*,\s*{_ROW})+\s*\]")
_LINES = re.compile(r"(?m)^(?P<indent>[ \t]*)\d(?:[ ,]*\d)+[ \t]*(?:\n[ \t]*\d(?:[ ,]*\d)+[ \t]*)+$")
_LABEL = re.compile(r"\b(?:examples?|inputs?|outputs?|pairs?|tests?|train(?:ing)?|grids?|puzzles?|tasks?|answers?)\b\s*#?\d*",
                    re.IGNORECASE)
_DIRECTION = re.compile(r"\b(?:left|right|up|upwards?|down|downwards?|top|bottom|above|below|under|over|north|south|east|west|"
                        r"horizontal\w*|vertical\w*|diagonal\w*|rows?|columns?|corners?|clockwise|counter\w*|anti\w*|rotat\w+|"
                        r"turn\w*|flip\w*|mirror\w*|reflect\w*|transpos\w+|first|last|wide|tall|width|height)\b", re.IGNORECASE)
_PLACE = re.compile(r"\b(?:cent(?:er|re)|middle|edges?|borders?|sides?|positions?|corners?|shift\w*|mov\w+|slid\w+)\b",
                    re.IGNORECASE)
_COLOUR = re.compile(r"\b(?:colou?r\w*|black|blue|red|green|yellow|gr[ae]y|magenta|pink|orange|cyan|azure|maroon|brown|white|"
                     r"background|zeros?|ones?|twos?|threes?|fours?|fives?|sixe?s?|sevens?|eights?|nines?|odd|even|sum|add\w*|"
                     r"count\w*|larg\w+|small\w+|greater|less|more|digits?|numbers?)\b|\d", re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """A text cut at its grids: parts[0] grids[0] parts[1] ... ; `written` says how each grid was written."""

    parts: tuple[str, ...]
    grids: tuple[Grid, ...]
    written: tuple[Callable[[Grid], str], ...]

    def with_grids(self, grids: list[Grid]) -> str:
        text = self.parts[0]
        for write, grid, part in zip(self.written, grids, self.parts[1:], strict=True):
            text += write(grid) + part
        return text


@dataclass(frozen=True)
class Variant:
    """Both sides of a puzzle under one transform; move: its name."""

    prompt: str
    response: str
    move: str


def read(text: str) -> Text:
    """Every grid of the text, in order; text that only looks like one stays text."""
    if len(text) > _LONGEST:
        return Text((text,), (), ())
    spans: list[tuple[int, int, Grid, Callable[[Grid], str]]] = []
    for found in _NESTED.finditer(text):
        try:
            rows = json.loads(found.group())
        except ValueError:
            continue
        if (grid := _grid(rows)) and (write := _nested_writer(found.group(), grid)):
            spans.append((*found.span(), grid, write))
    for found in _LINES.finditer(text):
        if any(start < found.end() and found.start() < end for start, end, _, _ in spans):
            continue
        lines = found.group().splitlines()
        digits = [[int(digit) for digit in re.findall(r"\d", line)] for line in lines]
        if (grid := _grid(digits)) and (gap := _gap(lines)) is not None:
            write = partial(_as_lines, indent=found["indent"], gap=gap)
            if write(grid) == found.group():
                spans.append((*found.span(), grid, write))
    spans.sort(key=lambda span: span[0])
    parts, at = [], 0
    for start, end, _, _ in spans:
        parts.append(text[at:start])
        at = end
    return Text((*parts, text[at:]), tuple(span[2] for span in spans), tuple(span[3] for span in spans))


def _grid(rows: object) -> Grid | None:
    if not (isinstance(rows, list) and len(rows) >= 2 and all(isinstance(row, list) for row in rows)):
        return None
    if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return None
    if not all(type(value) is int and 0 <= value <= 9 for row in rows for value in row):
        return None
    return tuple(tuple(row) for row in rows)


def _nested_writer(text: str, grid: Grid) -> Callable[[Grid], str] | None:
    """The style that writes this very text: compact, spaced, or one row to a line."""
    indent = re.search(r"\n([ \t]*)\[", text)
    for comma in (", ", ","):
        for row in (comma, f",\n{indent[1]}" if indent else comma):
            for opening, closing in (("[", "]"), ("[\n" + (indent[1] if indent else ""), "\n]")):
                write = partial(_as_nested, comma=comma, row=row, opening=opening, closing=closing)
                if write(grid) == text:
                    return write
    return None


def _as_nested(grid: Grid, comma: str, row: str, opening: str, closing: str) -> str:
    return opening + row.join("[" + comma.join(map(str, line)) + "]" for line in grid) + closing


def _gap(lines: list[str]) -> str | None:
    gaps = {gap for line in lines for gap in re.findall(r"(?<=\d)[ ,]*(?=\d)", line)}
    return gaps.pop() if len(gaps) == 1 else None


def _as_lines(grid: Grid, indent: str, gap: str) -> str:
    return "\n".join(indent + gap.join(map(str, row)) for row in grid)


# ---- transforms -----------------------------------------------------------------------------------------

def transpose(grid: Grid) -> Grid:
    return tuple(zip(*grid, strict=True))


def flip(grid: Grid) -> Grid:
    """Left and right change places."""
    return tuple(row[::-1] for row in grid)


def rotate(grid: Grid) -> Grid:
    """A quarter turn clockwise."""
    return flip(transpose(grid))


def _times(grid: Grid, turns: int, flipped: bool) -> Grid:
    grid = flip(grid) if flipped else grid
    for _ in range(turns):
        grid = rotate(grid)
    return grid


DIHEDRAL: dict[str, Callable[[Grid], Grid]] = {
    f"{'flip+' if flipped else ''}rotate{90 * turns}": partial(_times, turns=turns, flipped=flipped)
    for flipped in (False, True) for turns in range(4)}


def recolour(grid: Grid, colours: tuple[int, ...]) -> Grid:
    """Every cell c becomes colours[c]; `colours` is a permutation of 0 to 9."""
    return tuple(tuple(colours[cell] for cell in row) for row in grid)


def shift(grid: Grid, down: int, right: int) -> Grid | None:
    """Moved by (down, right), background moving in; None where anything would fall off the edge."""
    rows, columns = len(grid), len(grid[0])
    moved = [[BACKGROUND] * columns for _ in range(rows)]
    for row, line in enumerate(grid):
        for column, cell in enumerate(line):
            if cell == BACKGROUND:
                continue
            if not (0 <= row + down < rows and 0 <= column + right < columns):
                return None
            moved[row + down][column + right] = cell
    return tuple(map(tuple, moved))


def is_puzzle(prompt: str, response: str) -> bool:
    """Whether both sides hold a grid."""
    return bool(read(prompt).grids and read(response).grids)


def transformed(prompt: str, response: str, n: int, seed: int) -> list[Variant]:
    """At most `n` variants of a puzzle, kinds in turn; none where a side has no grid. Same seed, same list."""
    question, answer = read(prompt), read(response)
    if n <= 0 or not (question.grids and answer.grids):
        return []
    around = _LABEL.sub(" ", " ".join([*question.parts, *answer.parts]))
    generator = random.Random(f"{seed}:{prompt}\0{response}")
    turns: list[tuple[str, Callable[[Grid], Grid | None]]] = []
    colours: list[tuple[str, Callable[[Grid], Grid | None]]] = []
    shifts: list[tuple[str, Callable[[Grid], Grid | None]]] = []
    # A number in the text may be a size ("3x5") as well as a colour: turning would make it wrong too.
    if not _DIRECTION.search(around) and not re.search(r"\d", around):
        turns = [(name, turn) for name, turn in DIHEDRAL.items() if name != "rotate0"]
    if not _COLOUR.search(around):
        for _ in range(n):
            others = generator.sample(range(1, 10), 9)
            colours.append(("recolour:" + "".join(map(str, others)), partial(recolour, colours=(BACKGROUND, *others))))
    shapes = {(len(grid), len(grid[0])) for grid in (*question.grids, *answer.grids)}
    if not _DIRECTION.search(around) and not _PLACE.search(around) and len(shapes) == 1:
        shifts = [(f"shift:{down:+d},{right:+d}", partial(shift, down=down, right=right))
                  for down in range(-2, 3) for right in range(-2, 3) if (down, right) != (0, 0)]
    groups = [turns, colours, shifts]
    for group in groups:
        generator.shuffle(group)
    found: dict[tuple[str, str], Variant] = {(prompt, response): Variant(prompt, response, "")}
    for place in range(max(map(len, groups))):
        for group in groups:
            if place < len(group) and len(found) <= n:
                name, change = group[place]
                sides = [_changed(side, change) for side in (question, answer)]
                if sides[0] is not None and sides[1] is not None:
                    found.setdefault((sides[0], sides[1]), Variant(sides[0], sides[1], f"puzzle:{name}"))
    return list(found.values())[1:]


def _changed(text: Text, change: Callable[[Grid], Grid | None]) -> str | None:
    grids = [change(grid) for grid in text.grids]
    return text.with_grids([grid for grid in grids if grid is not None]) if None not in grids else None
