"""Joules of what happens between two moments, from the watts that the board's telemetry reads; or why there are none."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edge_sleep.device.telemetry import choose
from edge_sleep.device.telemetry.choose import Source

EVERY_SECONDS = 0.2


class Energy:
    """Reads watts beside the work. Where this machine shows none, `reason` says why and no joules are noted."""

    def __init__(self, total_rail: str | None = None, source: Source | None = None):
        self.source, self.reason = (source, "given") if source is not None else choose.choose("auto", total_rail)
        self.joules: dict[str, list[float]] = {}
        if self.source is not None and self.source.read().watts is None:
            self.reason = f"{self.source.name} tells no watts of the whole board"
            self.close()

    @contextmanager
    def metered(self, who: str) -> Iterator[None]:
        """Note the joules of this turn of `who`; a turn in which a reading was missing notes none."""
        if self.source is None:
            yield
            return
        watts, over, source = list[float | None](), threading.Event(), self.source

        def read() -> None:
            while True:
                watts.append(source.read().watts)
                if over.wait(EVERY_SECONDS):
                    return

        reader = threading.Thread(target=read, daemon=True)
        began = time.monotonic()
        reader.start()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            over.set()
            reader.join()
        known = [value for value in watts if value is not None]
        if len(known) == len(watts):
            self.joules.setdefault(who, []).append(sum(known) / len(known) * seconds)

    def close(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None
