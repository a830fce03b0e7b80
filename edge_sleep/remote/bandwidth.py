"""A cap on what is sent and fetched: an average that is never caught up on, so that a pause is followed by no burst."""
from __future__ import annotations

from edge_sleep.system.clock import Clock

_BLOCK_BYTES = 1 << 20


class Bandwidth:
    """bytes_per_second: the cap; None is none."""

    def __init__(self, bytes_per_second: int | None, clock: Clock):
        self.bytes_per_second, self._clock = bytes_per_second, clock
        self._free_at = 0.0

    def block_bytes(self, most: int = _BLOCK_BYTES, seconds: float = 1.0) -> int:
        """How much to move between two calls of `spent`: so many seconds' worth, so that no connection is silent for longer."""
        return most if self.bytes_per_second is None else max(1, min(most, int(self.bytes_per_second * seconds)))

    def spent(self, moved_bytes: int) -> None:
        """Sleep until so many bytes were within the cap."""
        if self.bytes_per_second is None:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + moved_bytes / self.bytes_per_second
        self._clock.sleep(self._free_at - now)
