"""Each measure runs in a process of its own: what one leaves in the heap or the page cache of its process serves no other."""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from edge_sleep.errors import Exit

_KILLED = -9


class Failed(Exception):
    """A measure that ended otherwise than by measuring; code: the exit code of the suite for it."""

    def __init__(self, reason: str, code: int = Exit.BUG):
        super().__init__(reason)
        self.reason, self.code = reason, int(code)


def ask(module: str, *arguments: Any, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m edge_sleep.benchmarks.MODULE` to its end; its last line as a document. Raises Failed."""
    command = [sys.executable, "-m", f"edge_sleep.benchmarks.{module}", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
        return answered(module, done.returncode, done.stdout, last_words(said))


def answered(what: str, code: int, stdout: str, last: str) -> dict[str, Any]:
    """The document that a process ended with. Raises Failed for an exit code, and where its last line is none."""
    if code:
        raise Failed(f"{what} {ending(code)}: {last}", suite_code(code))
    try:
        found = json.loads(stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed(f"{what} ended without a document: {last}") from None
    if not isinstance(found, dict):
        raise Failed(f"{what} ended with {type(found).__name__}, not with a document")
    return found


def ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def suite_code(code: int) -> int:
    """A child's exit code as the suite's: the promised ones as they are, a kill as the memory that ran out."""
    if code == _KILLED:
        return Exit.DOES_NOT_FIT
    return code if code in set(Exit) else Exit.BUG


def last_words(stream: IO[str]) -> str:
    """The last line that was said, of a file of standard error."""
    stream.seek(0)
    lines = [line.strip() for line in stream.read().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def sets(entries: Sequence[str]) -> list[str]:
    return [part for entry in entries for part in ("--set", entry)]


def checkout() -> Path | None:
    """The folder of a checkout that this runs from; None for an installed package."""
    top = Path(__file__).resolve().parent.parent.parent
    return top if (top / "setup.cfg").is_file() else None
