"""Wall time for people, monotonic time for budgets; both replaceable in tests."""
from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Local wall time with its UTC offset."""
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        """Seconds that never run backwards; meaningful only as differences."""
        return time.monotonic()

    def stamp(self) -> str:
        """ISO 8601 with offset, to the millisecond."""
        return self.now().isoformat(timespec="milliseconds")


@dataclass
class ManualClock(Clock):
    """A clock that moves only when told to; starts at a fixed wall time."""

    wall: datetime = field(default_factory=lambda: datetime.fromisoformat("2026-01-17T23:00:00+00:00"))
    seconds: float = 0.0

    def now(self) -> datetime:
        from datetime import timedelta
        return self.wall + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
