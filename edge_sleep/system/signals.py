"""SIGTERM and SIGINT as a flag: the night finishes its unit of work, saves, and is gone."""
from __future__ import annotations

import signal
import threading
from types import FrameType


class Signals:
    """Context manager; `received` is the number of the first signal, None before it.

    Handlers are set in the main thread only; a second SIGINT interrupts at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number
