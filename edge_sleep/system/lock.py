"""Who has the device: plain flock on two files, so that any language can take part.

A night holds `state/night.lock` for its whole length. A conversation holds `state/session.lock`;
a night that sees it held finishes its unit of work, saves, and is gone (exit 14).
"""
from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_sleep.errors import Busy
from edge_sleep.system.files import storage_errors

_LOOK_SECONDS = 0.08


def _open(path: Path) -> int:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def holder(path: Path) -> dict | None:
    """What the holder of the lock wrote about itself; None when nobody holds it."""
    if not path.exists():
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            told = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
        except (ValueError, RecursionError):
            told = {}
        return told if isinstance(told, dict) else {}
    finally:
        os.close(descriptor)
    return None


def is_held(path: Path) -> bool:
    return holder(path) is not None


def taken(descriptor: int, seconds: float = _LOOK_SECONDS, poll_seconds: float = 0.02) -> bool:
    """Take the lock of an open file within so many seconds, if it can be had.

    Whoever only looks (`holder`) has it for an instant, so one refusal is no answer.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(poll_seconds)


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at `path`; raises Busy at once (exit 17) when another process has it."""
    descriptor = _open(path)
    try:
        if not taken(descriptor):
            other = holder(path) or {}
            raise Busy(f"{other.get('what', 'another process')} (pid {other.get('pid', 'unknown')}) "
                       f"holds {path}", "wait for it to end; a lock dies with its process")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"what": what, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)
