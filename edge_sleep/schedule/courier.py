"""Between nights: what waits is sent, and what other machines published is fetched, by processes of their own."""
from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from edge_sleep.config import Config
from edge_sleep.errors import Exit
from edge_sleep.sync import backoff, outbox, received, roles
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

LOOK_SECONDS = 60.0
FETCH_SECONDS = 6 * 3600.0             # between two looks at what others published
LONGEST_SECONDS = 20 * 60.0            # of one process: a network that hangs, or a timer's unit, must not hold it for ever
_STOP_SECONDS = 10.0


class Courier:
    """Lets another process send or fetch, one at a time; a night or a talk does not wait for it, and it not for them."""

    def __init__(self, home: Home, command: Callable[[str], Sequence[str]], say: Callable[[str], None],
                 environment: Mapping[str, str], clock: Clock):
        """command: that of `push` or `pull`. say: a line for the log."""
        self._home, self._command, self._say, self._environment, self._clock = home, command, say, environment, clock
        self._child: subprocess.Popen | None = None
        self._what = ""
        self._failures, self._until = 0, 0.0
        self._next = self._fetch_at = 0.0          # since boot; the second for a pull that cannot say when it was

    @property
    def busy(self) -> bool:
        return self._child is not None

    def look(self, config: Config) -> None:
        """End what has ended, begin what is due. Raises what the home's files do: IntegrityError, StorageError."""
        now = self._clock.since_boot()
        if self._child is not None:
            if (code := self._child.poll()) is None:
                if now >= self._until:
                    self.stop()
                    self._say(f"sync {self._what} was ended after {LONGEST_SECONDS / 60:.0f} min; it goes on where it was")
                return
            self._child = None
            self._told(code)
            self._failures = 0 if code in (Exit.OK, Exit.BUSY) else self._failures + 1
            if self._failures:             # whatever it is that a person has to mend
                self._next = now + backoff.wait_seconds(self._failures)
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        settings = config.sync
        goes = roles.traffic(settings.remote, settings.role, settings.auto_upload, settings.auto_download)
        failed = backoff.read(outbox.backoff_file(self._home))
        if failed is not None and failed.left_seconds(self._clock) > 0:
            return
        if goes.sends and outbox.waiting(self._home):
            self._begin("push")
        elif goes.fetches and now >= self._fetch_at and received.looked_seconds_ago(self._home, self._clock) >= FETCH_SECONDS:
            self._fetch_at = now + FETCH_SECONDS
            self._begin("pull")

    def _begin(self, what: str) -> None:
        try:
            self._child = subprocess.Popen(self._command(what), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           env=dict(self._environment), start_new_session=True)
            self._what, self._until = what, self._clock.since_boot() + LONGEST_SECONDS
        except OSError as error:
            self._say(f"warning: sync {what} does not start: {error.strerror}")

    def _told(self, code: int) -> None:
        failed = backoff.read(outbox.backoff_file(self._home))
        if code == Exit.OK:
            self._say(f"sync {self._what} is done")
        elif code == Exit.SYNC and failed is not None:
            self._say(f"sync {self._what} waits, tried again in {failed.left_seconds(self._clock) / 60:.0f} min: {failed.why}")
        elif code != Exit.BUSY:
            self._say(f"warning: sync {self._what} ended with {code}; `edge-sleep sync {self._what}` says why")

    def stop(self) -> None:
        """End it; what was sent or fetched so far is gone on with."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)
            try:
                self._child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()
            self._child = None
