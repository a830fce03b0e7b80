"""The heartbeat of a worker at work: a thread that says how far it is, and hears when the job is no longer its own."""
from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from edge_sleep.errors import EdgeSleepError
from edge_sleep.thor.lease import lost
from edge_sleep.thor.mailbox import Mailbox, Offer

BEATS_PER_LEASE = 4


class Heart:
    """Context manager around the work on one job. `lost` says why the work is over; None while it is ours.

    A beat that does not get through is no end: nobody knows better meanwhile, and of two that finish one is published.
    """

    def __init__(self, mailbox: Mailbox, offer: Offer, lease: int, lease_seconds: float,
                 tell: Callable[..., None] = lambda event, **facts: None):
        """mailbox: of its own, for this thread. tell(event, ...): what did not get through."""
        self.mailbox, self.offer, self.lease, self.tell = mailbox, offer, lease, tell
        self.seconds = lease_seconds / BEATS_PER_LEASE
        self.lost: str | None = None
        self.step: int | None = None
        self.steps: int | None = None
        self._count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(self.seconds)            # one that hangs in a network is left behind: it is a daemon

    def listener(self, entry: dict[str, Any]) -> None:
        """Hears the events of the training: how far it is."""
        if entry["event"] == "step":
            self.step, self.steps = entry["step"], entry["steps"]

    def give_back(self) -> None:
        """Let the next worker have it without a wait. Raises SyncError."""
        self._over.set()
        self._thread.join(self.seconds)            # a beat of its own after this one would take it back
        self.mailbox.beat(self.offer, self.lease, self._count + 1, step=self.step, steps=self.steps, given_back=True)

    def _beat(self) -> None:
        while not self._over.is_set() and self.lost is None:
            self._count += 1
            try:
                self.mailbox.beat(self.offer, self.lease, self._count, step=self.step, steps=self.steps)
                self.lost = lost(self.mailbox.seen(self.offer), self.lease)
            except EdgeSleepError as error:
                self.tell("beat", sent=False, reason=error.message)
            self._over.wait(self.seconds)
