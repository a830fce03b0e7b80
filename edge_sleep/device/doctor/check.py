"""One line of the doctor, and how whatever may crash or hang is tried: in a process that is thrown away."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from edge_sleep.errors import EdgeSleepError

Status = Literal["ok", "warn", "fail", "skip"]
ROOT = Path("/")                                       # every path of a check lies below it; tests build a tree of their own
GIB = 2**30
PROBE_SECONDS = 180.0
_POLL_SECONDS = 0.02
_REAP_SECONDS = 5.0                                    # for a killed process to be gone; one that waits on a driver never is
_SHOWN_CHARACTERS = 300
_READ_BYTES = 2**16
# A probe says with such a line what it is about to do, so that a crash has a place.
AT = "at "
# Nobody is left to kill a process that hangs once the doctor itself was killed; the kernel then does (PR_SET_PDEATHSIG).
_PRELUDE = "import ctypes; ctypes.CDLL(None).prctl(1, 9)\n"


@dataclass(frozen=True)
class Check:
    name: str
    status: Status
    found: str
    do: str = ""


# try_code, or what a test puts in its place: (code), or (code, seconds).
Try = Callable[..., "tuple[dict | None, str]"]


@dataclass(frozen=True)
class Ran:
    """How a command ended; problem is empty only where it ended by itself with exit code 0."""

    out: str
    problem: str


def run(command: Sequence[str], seconds: float, environment: dict[str, str] | None = None) -> Ran:
    """Run a command with nothing on stdin, and end its whole process group within the time, whatever it does.

    Its output goes to memory and not through a pipe: a grandchild may hold a pipe open for ever.
    """
    try:
        with _sink() as out, _sink() as err:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                                       env=None if environment is None else {**os.environ, **environment})
            try:
                ended = _ended(process.pid, seconds)
            finally:
                # Not reaped yet, so that the number is still this group's; helpers that it left behind end too.
                os.killpg(process.pid, signal.SIGKILL)
            try:
                code = process.wait(_REAP_SECONDS)
            except subprocess.TimeoutExpired:
                return Ran(_end_of(out), f"no answer in {seconds:.0f} s, and it cannot be killed: a driver hangs")
            return Ran(_end_of(out), _problem(code, _end_of(err)) if ended else f"no answer in {seconds:.0f} s")
    except OSError as error:
        return Ran("", f"{command[0]} cannot be started: {error.strerror}")


def try_code(code: str, seconds: float = PROBE_SECONDS) -> tuple[dict | None, str]:
    """Run Python code in its own process; its last line of JSON, or None and what went wrong, and where."""
    ran = run([sys.executable, "-c", _PRELUDE + code], seconds, {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"})
    lines = ran.out.strip().splitlines()
    if ran.problem:
        at = next((line.removeprefix(AT) for line in reversed(lines) if line.startswith(AT)), "")
        return None, f"{ran.problem} while {at}" if at else ran.problem
    try:
        facts = json.loads(lines[-1])
    except (ValueError, IndexError):
        return None, "printed no result"
    return (facts, "") if isinstance(facts, dict) else (None, "printed no result")


def tried(name: str, look: Callable[[], Check | list[Check] | None]) -> list[Check]:
    """What a check found. Where the check itself fails, that is one warning by name: the other lines still count."""
    try:
        found = look()
    except EdgeSleepError as error:
        return [Check(name, "warn", error.message, error.do)]
    except Exception as error:
        return [Check(name, "warn", f"not checked: {type(error).__name__}: {error}"[:_SHOWN_CHARACTERS],
                      "this is a fault of the check; the other lines hold")]
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def text_of(file: Path) -> str | None:
    """A file of /proc, /sys or /etc without its zero bytes; None where it cannot be read."""
    try:
        return file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return None


def _ended(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _sink() -> IO[bytes]:
    return open(os.memfd_create("output"), "w+b", buffering=0)


def _end_of(sink: IO[bytes]) -> str:
    """Of what was written, the part that has the result or the error."""
    start = max(0, os.fstat(sink.fileno()).st_size - _READ_BYTES)
    return os.pread(sink.fileno(), _READ_BYTES, start).decode("utf-8", "replace")


def _problem(code: int, err: str) -> str:
    if code < 0:
        by = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"killed by {by}" + (", as the kernel does when memory is out" if -code == signal.SIGKILL else "")
    return _error(err, code) if code else ""


def _error(err: str, code: int) -> str:
    """The first line of the error: torch's go on for several, of which the last only tells how to recompile it."""
    lines = [line for line in err.splitlines() if line.strip()]
    traced = max((number for number, line in enumerate(lines) if line.startswith("  File ")), default=None)
    if traced is not None:
        lines = [line for line in lines[traced + 1:] if not line.startswith(" ")][:1] or lines
    return (lines[-1].strip() if lines else f"exit code {code}")[:_SHOWN_CHARACTERS]
