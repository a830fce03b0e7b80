"""When a remote that failed is asked again. Kept in a file, so that a restart neither forgets a wait nor begins it anew."""
from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError, SyncError
from edge_sleep.remote.protocol import Unreachable
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json, write_json

FIRST_SECONDS = 60.0
LONGEST_SECONDS = 6 * 3600.0
_SPREAD = 0.25


def wait_seconds(attempts: int, retry_after_seconds: float | None = None, who: str = "") -> float:
    """After so many failures in a row: doubling from a minute to six hours, never less than the remote asked for.

    who: spreads machines apart that lost the same network at the same instant; the same machine always gets the same wait.
    """
    doubled = min(FIRST_SECONDS * 2.0 ** min(attempts - 1, 32), LONGEST_SECONDS)
    part = int.from_bytes(hashlib.sha256(f"{who} {attempts}".encode()).digest()[:4], "big") / 2**32
    return max(min(doubled * (1 + _SPREAD * part), LONGEST_SECONDS), retry_after_seconds or 0.0)


@dataclass(frozen=True)
class Backoff:
    """The last failure. wall: epoch seconds; since_boot: of `boot`; both of the instant it was noted."""

    attempts: int
    why: str
    do: str
    noted: str
    wait_seconds: float
    wall: float
    boot: str
    since_boot: float

    def left_seconds(self, clock: Clock) -> float:
        """Until it may be tried again. Within one boot no clock setting moves it; a clock that went back is not waited for."""
        if self.boot and self.boot == clock.boot():
            passed = clock.since_boot() - self.since_boot
        else:
            passed = clock.now().timestamp() - self.wall
            if passed < 0:
                return 0.0
        return max(0.0, self.wait_seconds - passed)


def read(file: Path) -> Backoff | None:
    """What was noted; None where nothing failed, or nobody can read it: a try too early costs one request."""
    try:
        return Backoff(**read_json(file, "backoff"))
    except (FileNotFoundError, IntegrityError, TypeError):
        return None


def note(file: Path, error: SyncError, clock: Clock, who: str) -> Backoff:
    """One more failure. Raises StorageError where the home is full."""
    before = read(file)
    attempts = (before.attempts if before else 0) + 1
    asked = error.retry_after_seconds if isinstance(error, Unreachable) else None
    found = Backoff(attempts, error.message, error.do, clock.stamp(), wait_seconds(attempts, asked, who), clock.now().timestamp(),
                    clock.boot(), clock.since_boot())
    write_json(file, asdict(found))
    return found


def clear(file: Path) -> None:
    file.unlink(missing_ok=True)


def document(found: Backoff | None, clock: Clock) -> dict[str, Any] | None:
    """As `sync status --json` says it."""
    return None if found is None else {"attempts": found.attempts, "why": found.why, "do": found.do, "noted": found.noted,
                                       "next_try_in_seconds": round(found.left_seconds(clock), 1)}
