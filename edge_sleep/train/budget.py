"""The wall-clock contract of a night: training may use what judging and saving do not need."""
from __future__ import annotations

from dataclasses import dataclass

from edge_sleep.system.clock import Clock


@dataclass
class Contract:
    """`total_seconds` from `started` (monotonic); `reserve_seconds` at its end belong to judging and saving."""

    clock: Clock
    started: float
    total_seconds: float
    reserve_seconds: float

    def elapsed(self) -> float:
        return self.clock.monotonic() - self.started

    def remaining(self) -> float:
        """Seconds until the end of the night."""
        return self.total_seconds - self.elapsed()

    def for_training(self) -> float:
        """Seconds until training must have stopped."""
        return self.remaining() - self.reserve_seconds

    def fits(self, step_seconds: float) -> bool:
        """Whether one more step of this length ends before the reserve begins (with a tenth to spare)."""
        return self.for_training() >= 1.1 * step_seconds


def reserve(total_seconds: float, least_share: float, load_seconds: float, judged_before: float | None) -> float:
    """Seconds to keep for loading the judge, judging and saving.

    The configured share of the budget, or what this home's last judgement took plus a quarter,
    whichever is more, but never over half of the night.
    """
    needed = 2 * load_seconds + 1.25 * judged_before if judged_before else 2 * load_seconds
    return min(max(least_share * total_seconds, needed), total_seconds / 2)
