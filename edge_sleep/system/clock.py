"""Wall time for people, monotonic time for budgets, time since boot for what must outlast a suspend; replaceable in tests."""
from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

BUILT_YEAR = 2026              # a clock before the year this was built began anew: a board without a battery boots in 1970
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5                # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512             # more than struct timex has on any machine


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Local wall time with its UTC offset."""
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        """Seconds that never run backwards; meaningful only as differences."""
        return time.monotonic()

    def since_boot(self) -> float:
        """Seconds since this boot, suspends included; no clock setting moves it."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """Which boot this is; empty where the kernel does not tell."""
        try:
            return _BOOT_ID.read_text().strip()
        except OSError:
            return ""

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

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

    def since_boot(self) -> float:
        return self.seconds

    def boot(self) -> str:
        return "manual"

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def clock_synchronised() -> bool | None:
    """Whether a time server or the like steers the kernel's clock; None where it does not tell."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
