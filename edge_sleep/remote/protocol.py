"""What a remote is: a place that holds named blobs, none of which is trusted.

Names are relative, of parts [a-z0-9._-], joined by '/'. A blob is whole or not there; what is written under a name that says its
content is never written again. Whoever reads verifies: a remote may be slow, partly there, or in somebody else's hands.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_sleep.errors import EdgeSleepError, SyncError

_PART = r"[a-z0-9_-](?:[a-z0-9._-]*[a-z0-9_-])?"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_LONGEST = 240
_HALF = ".partial"             # what rclone calls a file until it is whole


class Unreachable(SyncError):
    """No network, or a service that does not answer as it should just now: to be tried again."""

    def __init__(self, message: str, do: str = "", retry_after_seconds: float | None = None):
        super().__init__(message, do)
        self.retry_after_seconds = retry_after_seconds


class NotAllowed(SyncError):
    """The remote does not let this machine in: no token, or one that is no longer good."""


class Full(SyncError):
    """The remote has no room left."""


class Missing(SyncError):
    """No blob of that name."""


class Taken(EdgeSleepError):
    """Somebody published that name first."""

    exit_code = SyncError.exit_code


@dataclass(frozen=True)
class Entry:
    """One blob. version changes whenever its content does, and means nothing else."""

    name: str
    size_bytes: int
    version: str


class Remote(Protocol):
    """Every method raises Unreachable, NotAllowed or Full; none of them leaves half a blob behind that a list would show."""

    def list(self, prefix: str) -> list[Entry]:
        """Every blob whose name begins with `prefix` (empty, or ending in '/'), sorted by name; none where there is none."""

    def stat(self, name: str) -> Entry | None: ...

    def put(self, name: str, source: Path, note: Path) -> Entry:
        """Send a file to a name that says its content; one that is there with the same size is left.

        note: a file of the caller's in which a partial transfer is remembered; gone once the blob is there. A later call with
        the same note goes on where the earlier one was cut.
        """

    def get(self, name: str, target: Path) -> Entry:
        """Fetch a blob to a file, which appears whole; `target`.part holds what came so far and is gone on with.

        Raises Missing."""

    def publish(self, name: str, content: bytes, *, replace: bool = False) -> Entry:
        """Make a small document visible at once. Raises Taken where the name is there already and replace is False: of two
        that publish one name, one succeeds."""

    def read(self, name: str, limit_bytes: int) -> bytes:
        """A small document. Raises Missing, and SyncError where it is larger than `limit_bytes`."""

    def delete(self, name: str) -> None:
        """For an explicit prune alone; a name that is not there is no error."""

    def wait(self, prefix: str, seconds: float) -> bool:
        """Until something below `prefix` may have changed, or so many seconds are over (False)."""


def is_name(name: str) -> bool:
    """Whether a blob can be called so: no part begins or ends with a dot, climbs, or holds what some file system forbids."""
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None and not name.endswith(_HALF)


def checked(name: str) -> str:
    """The name, if it is one. Raises SyncError."""
    if not is_name(name):
        raise SyncError(f"{name[:80]!r} is not a name on a remote", "names are lower-case letters, digits, '.', '_', '-' and '/'")
    return name


def checked_prefix(prefix: str) -> str:
    """The prefix, if it is empty or a name and '/'. Raises SyncError."""
    if prefix and not (prefix.endswith("/") and is_name(prefix[:-1])):
        raise SyncError(f"{prefix[:80]!r} is not a prefix on a remote", "a prefix is empty, or a name and '/'")
    return prefix
