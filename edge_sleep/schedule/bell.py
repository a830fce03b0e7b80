"""Sleep that signals end: a pipe that the interpreter writes each signal's number to."""
from __future__ import annotations

import os
import select
import signal

_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Bell:
    """Context manager, in the main thread. Handlers, not a mask: what is started meanwhile inherits nothing of it."""

    def __enter__(self) -> Bell:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in _HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> set[int]:
        """The signals that came, at once where there are some; empty after so many seconds."""
        select.select([self._read], [], [], max(0.0, seconds))
        try:
            return set(os.read(self._read, 4096))
        except BlockingIOError:
            return set()
