"""How long to wait between two requests: a pure function. (Hours between two tries of the outbox are its own affair.)

The wait doubles up to a longest one, half of it drawn, so that machines which lost the same network do not come back at one
instant. What the service asks for (`Retry-After`) is never undercut.
"""
from __future__ import annotations

from dataclasses import dataclass

_SPREAD = 0.1                  # of a Retry-After: everyone was told the same number


@dataclass(frozen=True)
class Policy:
    """first_seconds doubles up to longest_seconds; attempts in all; patience_seconds: a longer wait is left to the caller."""

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    attempts: int = 5
    patience_seconds: float = 120.0


REQUEST = Policy()


def pause(attempt: int, retry_after_seconds: float | None, draw: float, policy: Policy = REQUEST) -> float:
    """Seconds to wait after the attempt of that number (the first is 1).

    retry_after_seconds: what the service asked for; None is nothing. draw: uniform in [0, 1).
    """
    # Shifts of a number that a corrupted file may hold must stay small.
    doubled = min(policy.longest_seconds, policy.first_seconds * 2.0 ** min(max(0, attempt - 1), 60))
    own = doubled * (1 + draw) / 2
    return own if retry_after_seconds is None else max(own, retry_after_seconds * (1 + _SPREAD * draw))


def goes_on(attempt: int, wait_seconds: float, policy: Policy = REQUEST) -> bool:
    """Whether to wait that long and try again, or to leave it to whoever asked."""
    return attempt < policy.attempts and wait_seconds <= policy.patience_seconds
