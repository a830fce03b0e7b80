"""Which remote a place means."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.errors import ConfigError
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.remote.protocol import Remote
from edge_sleep.system.clock import Clock


def open_remote(place: str, *, keys: Path, clock: Clock | None = None, timeout: float = 60.0,
                bandwidth_bytes: int | None = None, ca_certs: str | None = None) -> Remote:
    """The remote at `place`: folder:/PATH or dropbox:/PATH; asks nobody anything yet.

    keys: the home's keys/, where a token lies. timeout: seconds of silence that are waited for. bandwidth_bytes: most a second.
    ca_certs: a file of certificates to trust instead of this machine's; REQUESTS_CA_BUNDLE, if set, counts more (requests).
    Raises ConfigError for any other place, SyncError where a library is missing, NotAllowed where nobody logged in.
    """
    kind, _, path = place.partition(":")
    if kind == "folder" and path.startswith("/"):
        return FolderRemote(Path(path), clock=clock, bandwidth_bytes=bandwidth_bytes)
    if kind == "dropbox" and path.startswith("/"):
        from edge_sleep.remote import token
        from edge_sleep.remote.dropbox import DropboxRemote
        return DropboxRemote(path, token.load(keys), clock=clock, timeout=timeout, bandwidth_bytes=bandwidth_bytes,
                             ca_certs=ca_certs)
    raise ConfigError([f"{place!r} is no place for a remote: write folder:/PATH or dropbox:/PATH"])
