"""A conversation's turn on the device: the session lock, then patience until a running night is gone."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edge_sleep.errors import Busy, StorageError
from edge_sleep.system import lock, state
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

WAIT_SECONDS = 120.0
HANDED_ON = "EDGE_SLEEP_TURN"                      # to a child: the pid that holds the device for it, and of which session lock
_POLL_SECONDS = 0.2


def _silent(_: str) -> None:
    pass


@contextmanager
def conversation(home: Home, what: str, wait_seconds: float = WAIT_SECONDS,
                 tell: Callable[[str], None] = _silent) -> Iterator[float]:
    """Hold the session lock in this process; yields how long a night took to give way. Busy: exit 17.

    A process that was begun by one that holds it for its sake (`session begin -- COMMAND`) has it already.
    """
    if _have_it(home):
        yield 0.0
        return
    with lock.hold(home.session_lock, what):
        waited = wait_for_night(home, wait_seconds, tell)
        with focused(home, what):
            yield waited


def handed_on(home: Home) -> dict[str, str]:
    """What tells a child of this process, which is in `conversation`, that the device is held for it."""
    return {HANDED_ON: f"{os.getpid()} {os.path.realpath(home.session_lock)}"}


def _have_it(home: Home) -> bool:
    pid, _, path = os.environ.get(HANDED_ON, "").partition(" ")
    if not path or path != os.path.realpath(home.session_lock):
        return False
    holder = lock.holder(home.session_lock)        # the word alone may be of a process that is gone
    return holder is not None and str(holder.get("pid")) == pid


@contextmanager
def focused(home: Home, who: str) -> Iterator[None]:
    """FOCUS in metabolic.json for the length of a conversation that has the device."""
    focus(home, who)
    try:
        yield
    finally:
        unfocus(home, who)


def focus(home: Home, who: str, pid: int | None = None) -> None:
    """Publish that a conversation has the device, and that process `pid` (None: this one) holds it for it."""
    with suppress(StorageError):               # a full disk is no reason not to talk
        state.publish(home, state.Event.SESSION_BEGINS, f"{who} has the device", who, Clock(), pid=pid)


def unfocus(home: Home, who: str) -> None:
    """Publish that it is over."""
    with suppress(StorageError):
        state.publish(home, state.Event.SESSION_ENDS, "the conversation is over", who, Clock())


def wait_for_night(home: Home, wait_seconds: float, tell: Callable[[str], None] = _silent,
                   pause: Callable[[float], None] = time.sleep) -> float:
    """Seconds until no night ran; raises Busy where one is still there after wait_seconds. tell: says once that it waits."""
    began = time.monotonic()
    told = False
    while (night := lock.holder(home.night_lock)) is not None:
        waited = time.monotonic() - began
        if waited >= wait_seconds:
            raise Busy(f"the night (pid {night.get('pid', 'unknown')}) did not give way within {wait_seconds:.0f} s",
                       "give it longer (--wait, serve.wait), or end it; it saves its state first")
        if not told:
            tell("a night is running; it saves its state and gives way")
            told = True
        pause(_POLL_SECONDS)
    return time.monotonic() - began
