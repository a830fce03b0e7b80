"""How commands answer: one JSON document or text on stdout, everything else on stderr."""
from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import Any

from edge_sleep.system.printable import in_json, on_terminal


def plain(value: Any) -> Any:
    """Strict JSON: a number that is none becomes null, an unknown object its text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def answer(document: Any, text: str, as_json: bool) -> None:
    """The command's result: the document with --json, else the text. What others wrote steers no terminal."""
    print(in_json(json.dumps(plain(document), ensure_ascii=False)) if as_json else on_terminal(text), flush=True)


def say(text: str) -> None:
    """A word to the person that is not the answer."""
    print(on_terminal(text), file=sys.stderr, flush=True)


def libraries_to_stderr() -> redirect_stdout:
    """While libraries work, what they print is not the answer."""
    return redirect_stdout(sys.stderr)


def columns(rows: Iterable[Iterable[Any]], indent: str = "") -> str:
    """Rows as aligned text; the last column is free."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    widths = [max(len(row[index]) if index < len(row) - 1 else 0 for row in cells if index < len(row))
              for index in range(max(map(len, cells)))]
    return "\n".join((indent + "  ".join(cell.ljust(widths[index]) for index, cell in enumerate(row))).rstrip()
                     for row in cells)


def size(count: float | None) -> str:
    """Bytes for people."""
    if count is None:
        return "unknown"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span(seconds: float | None) -> str:
    """Seconds for people."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
