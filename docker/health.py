"""Whether a container is well, for HEALTHCHECK: `edge-sleep status` finds no problem in its home, and a watcher still looks.

Exit 0 or 1, with one line. A container that does something else than watch is judged by its home alone.
"""
from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

# The watcher writes its book every ten minutes at least; one that has not for a minute longer than twice that hangs.
STALE_SECONDS = 1260.0
_STATUS_SECONDS = 50.0


def since_look(book: Path, boot: str, since_boot: float) -> float | None:
    """Seconds since the watcher of this boot wrote its book; None where it has not. No setting of the clock matters."""
    try:
        at = json.loads(book.read_text())["at"]
        return since_boot - at["since_boot"] if at["boot"] == boot else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def problem(status: dict, watching: bool, age: float | None) -> str | None:
    """What is wrong by the document of `status --json` and the age of the watcher's book; None where nothing is."""
    if not status["exists"]:
        return f"no home at {status['home']}" if watching else None
    if status["problems"]:
        return "; ".join(status["problems"])
    if watching and (age is None or age > STALE_SECONDS):
        return f"the watcher has not looked {'since this boot' if age is None else f'for {age / 60:.0f} min'}"
    return None


def main() -> int:
    try:
        done = subprocess.run(["edge-sleep", "status", "--json"], capture_output=True, text=True, timeout=_STATUS_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"`edge-sleep status` gave no answer in {_STATUS_SECONDS:.0f} s")
        return 1
    if done.returncode != 0:
        # The error, and under it what to do.
        print(" ".join(done.stderr.split()[-60:]) or f"`edge-sleep status` ended with exit code {done.returncode}")
        return 1
    status = json.loads(done.stdout.splitlines()[-1])
    watching = b"watch" in Path("/proc/1/cmdline").read_bytes().split(b"\0")
    age = since_look(Path(status["home"]) / "state" / "rhythm.json", Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                     time.clock_gettime(time.CLOCK_BOOTTIME))
    wrong = problem(status, watching, age)
    print(wrong or "well")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
