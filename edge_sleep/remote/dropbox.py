"""A folder in somebody's Dropbox as a remote, through Dropbox's own SDK (extra `[sync]`)."""
from __future__ import annotations

import builtins
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from edge_sleep import __version__
from edge_sleep.errors import SyncError
from edge_sleep.remote import content_hash
from edge_sleep.remote.bandwidth import Bandwidth
from edge_sleep.remote.calls import Calls, Refusal
from edge_sleep.remote.content_hash import ContentHash
from edge_sleep.remote.protocol import Entry, Missing, Taken, Unreachable, checked, checked_prefix, is_name
from edge_sleep.remote.token import Token, sdk
from edge_sleep.remote.upload import CHUNK_BYTES, Upload, metadata
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import fsync_folder, storage_errors

_TRIES = 4                     # of a file that arrives damaged, or changes while it is fetched
_CONNECT_SECONDS = 10.0
_POLL_SECONDS = (30, 480)      # what Dropbox takes for a long poll
_LOOK_SECONDS = 30.0           # between two looks for a folder that is not there yet
_BLOCK_BYTES = 1 << 16


class DropboxRemote:
    """See protocol.Remote. root: '' or '/FOLDER'. draw: uniform in [0, 1), for the pauses between attempts."""

    def __init__(self, root: str, token: Token, *, clock: Clock | None = None, timeout: float = 60.0,
                 bandwidth_bytes: int | None = None, ca_certs: str | None = None, chunk_bytes: int = CHUNK_BYTES,
                 draw: Callable[[], float] = random.random):
        self.root, self._clock, self._chunk_bytes = root.rstrip("/"), clock or Clock(), chunk_bytes
        self._bandwidth = Bandwidth(bandwidth_bytes, self._clock)
        self._dropbox = sdk()
        client = self._dropbox.Dropbox(
            oauth2_refresh_token=token.refresh_token, app_key=token.app_key, user_agent=f"edge-sleep/{__version__}",
            max_retries_on_error=0, max_retries_on_rate_limit=0, ca_certs=ca_certs,
            timeout=(min(_CONNECT_SECONDS, timeout), timeout))
        self._calls = Calls(client, self._clock, draw)
        self._cursors: dict[str, str | None] = {}      # of each prefix when it was last looked at; None: no such folder then

    def list(self, prefix: str) -> builtins.list[Entry]:
        folder = self._folder(prefix)
        for _ in range(_TRIES):
            try:
                found, cursor = self._listed(folder)
            except Refusal as refusal:
                if "not_found" in refusal.tags or "not_folder" in refusal.tags:
                    self._cursors[prefix] = None
                    return []
                if "reset" not in refusal.tags:
                    raise
                continue
            self._cursors[prefix] = cursor
            entries = (self._entry(item) for item in found.values())
            return sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.name)
        raise Unreachable("Dropbox begins its list anew each time", "it is tried again later")

    def stat(self, name: str) -> Entry | None:
        found = metadata(self._calls, self._path(name))
        return None if found is None else self._entry(found, name)

    def put(self, name: str, source: Path, note: Path) -> Entry:
        path, size = self._path(name), source.stat().st_size
        for _ in range(_TRIES):
            there = metadata(self._calls, path)
            if there is not None and there.size == size and (not note.exists() or there.content_hash == _hash_of(source)):
                note.unlink(missing_ok=True)
                return self._sure(there, name)
            try:
                sent = Upload(self._calls, path, self._bandwidth, self._chunk_bytes).send(source, note, there)
                return self._sure(sent, name)
            except Refusal as refusal:
                if "conflict" not in refusal.tags or "file" not in refusal.tags:
                    raise
        raise Unreachable(f"others write to {name} all the time", "it is tried again later")

    def get(self, name: str, target: Path) -> Entry:
        path, part = self._path(name), target.with_name(f"{target.name}.part")
        for _ in range(_TRIES):
            found = metadata(self._calls, path)
            if found is None:
                raise Missing(f"{name} is not in this Dropbox")
            with storage_errors(part):
                part.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                with os.fdopen(descriptor, "r+b") as writer:
                    whole = self._fetch(path, found, writer)
                    writer.flush()
                    os.fsync(writer.fileno())
                if whole:
                    os.replace(part, target)
                    fsync_folder(target.parent)
                    return self._sure(found, name)
        raise Unreachable(f"{name} comes from Dropbox otherwise than Dropbox says it is", "it is fetched again later")

    def publish(self, name: str, content: bytes, *, replace: bool = False) -> Entry:
        path, mode = self._path(name), self._dropbox.files.WriteMode
        digest = ContentHash(content).hexdigest()
        kind = mode.overwrite if replace else mode.add
        try:
            found = self._calls.ask(lambda client: client.files_upload(
                content, path, mode=kind, mute=True, strict_conflict=not replace, content_hash=digest))
        except Refusal as refusal:
            if "conflict" not in refusal.tags or "file" not in refusal.tags:
                raise
            found = metadata(self._calls, path)
            # An attempt whose answer was lost may have been the one that took the name.
            if found is None or found.content_hash != digest or not refusal.uncertain:
                raise Taken(f"{name} is in this Dropbox already") from None
        if found.content_hash != digest:
            raise Unreachable(f"{name} arrives at Dropbox otherwise than it was sent", "it is sent again later")
        return self._sure(found, name)

    def read(self, name: str, limit_bytes: int) -> bytes:
        path = self._path(name)
        for _ in range(_TRIES):
            try:
                found, content = self._calls.ask(lambda client: _document(client, path, limit_bytes))
            except Refusal as refusal:
                if "not_found" in refusal.tags or "not_file" in refusal.tags:
                    raise Missing(f"{name} is not in this Dropbox") from None
                raise
            if found.size > limit_bytes:
                raise SyncError(f"{name} in this Dropbox has {found.size} bytes; {limit_bytes} are expected at most",
                                "it is not what edge-sleep wrote; look at it, and remove it")
            if ContentHash(content).hexdigest() == found.content_hash:
                return content
        raise Unreachable(f"{name} comes from Dropbox otherwise than Dropbox says it is", "it is fetched again later")

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            self._calls.ask(lambda client: client.files_delete_v2(path))
        except Refusal as refusal:
            if "not_found" not in refusal.tags:
                raise

    def wait(self, prefix: str, seconds: float) -> bool:
        until, folder = self._clock.monotonic() + seconds, self._folder(prefix)
        while (left := until - self._clock.monotonic()) > 0:
            if prefix not in self._cursors:
                self._cursors[prefix] = self._cursor(folder)
            cursor = self._cursors[prefix]
            if cursor is None:
                if self.list(prefix):
                    return True
                self._clock.sleep(min(_LOOK_SECONDS, left))
                continue
            changed, backoff = self._polled(cursor, left)
            if changed:
                del self._cursors[prefix]
                return True
            self._clock.sleep(min(backoff, max(0.0, until - self._clock.monotonic())))
        return False

    def _polled(self, cursor: str, seconds: float) -> tuple[bool, float]:
        """Whether something changed within so many seconds, and how long Dropbox wants to be left alone after it."""
        import requests
        files = self._dropbox.files
        argument = files.ListFolderLongpollArg(cursor, int(min(max(seconds, _POLL_SECONDS[0]), _POLL_SECONDS[1])))
        try:
            # The time that the SDK would give the socket is up to 90 seconds longer than was asked for.
            found = self._calls.ask(lambda client: _poll(client, files, argument, seconds, requests.ReadTimeout))
        except Refusal as refusal:
            if "reset" in refusal.tags:
                return True, 0.0
            raise
        return (False, 0.0) if found is None else (found.changes, float(found.backoff or 0))

    def _cursor(self, folder: str) -> str | None:
        """The folder as it is now, for waiting to compare with; None where it is not there."""
        try:
            return self._calls.ask(lambda client: client.files_list_folder_get_latest_cursor(folder, recursive=True)).cursor
        except Refusal as refusal:
            if "not_found" in refusal.tags or "not_folder" in refusal.tags:
                return None
            raise

    def _listed(self, folder: str) -> tuple[dict[str, Any], str]:
        """Every file below a folder by its path, and the cursor of that moment; pages may say a thing twice, in any order."""
        files, found = self._dropbox.files, {}
        page = self._calls.ask(lambda client: client.files_list_folder(folder, recursive=True))
        while True:
            for item in page.entries:
                if isinstance(item, files.FileMetadata):
                    found[item.path_lower] = item
                elif isinstance(item, files.DeletedMetadata):
                    gone = item.path_lower
                    found = {path: kept for path, kept in found.items() if path != gone and not path.startswith(f"{gone}/")}
            if not page.has_more:
                return found, page.cursor
            cursor = page.cursor
            page = self._calls.ask(lambda client, cursor=cursor: client.files_list_folder_continue(cursor))  # type: ignore[misc]

    def _fetch(self, path: str, found: Any, writer: BinaryIO) -> bool:
        """Bring a part to its full length; False where it is not, or no longer, what `found` says."""
        if os.fstat(writer.fileno()).st_size > found.size:
            writer.truncate(0)
        try:
            while writer.seek(0, os.SEEK_END) < found.size:
                self._calls.ask(lambda client: self._stream(client, path, found, writer), progress=writer.tell)
        except _Changed:
            writer.truncate(0)
            return False
        except Refusal as refusal:
            if "not_found" in refusal.tags:
                return False
            raise
        writer.seek(0)
        if content_hash.of_stream(writer) == found.content_hash:
            return True
        writer.truncate(0)
        return False

    def _stream(self, client: Any, path: str, found: Any, writer: BinaryIO) -> None:
        """Append what comes from where the part ends; what came before a cut stays."""
        start = writer.seek(0, os.SEEK_END)
        # A header of its own for one call: only the newest SDK takes one, and that needs Python 3.11.
        asked = client.clone(headers={"Range": f"bytes={start}-"}) if start else client
        told, response = asked.files_download(path)
        with response:
            if told.content_hash != found.content_hash:
                raise _Changed
            if start and response.status_code != 206:
                writer.seek(0)
                writer.truncate()
            left = found.size - writer.tell()
            for block in response.iter_content(self._bandwidth.block_bytes(_BLOCK_BYTES)):
                if len(block) > left:
                    raise _Changed
                writer.write(block)
                left -= len(block)
                self._bandwidth.spent(len(block))
            writer.flush()

    def _path(self, name: str) -> str:
        return f"{self.root}/{checked(name)}"

    def _folder(self, prefix: str) -> str:
        return f"{self.root}/{checked_prefix(prefix)}".rstrip("/")

    def _entry(self, found: Any, name: str | None = None) -> Entry | None:
        """A file as a blob; None for one whose name is none of ours. Only the last part of a path has its true case."""
        if name is None:
            folder = found.path_lower[len(self.root) + 1:].rpartition("/")[0]
            name = f"{folder}/{found.name}" if folder else found.name
        return Entry(name, found.size, found.rev) if is_name(name) else None

    def _sure(self, found: Any, name: str) -> Entry:
        return Entry(name, found.size, found.rev)


class _Changed(Exception):
    """The file that comes is another than the one that was asked for."""


def _hash_of(source: Path) -> str:
    with open(source, "rb") as stream:
        return content_hash.of_stream(stream)


def _document(client: Any, path: str, limit_bytes: int) -> tuple[Any, bytes]:
    found, response = client.files_download(path)
    with response:
        return found, b"" if found.size > limit_bytes else response.content


def _poll(client: Any, files: Any, argument: Any, seconds: float, silent: type[Exception]) -> Any:
    """The answer to a long poll; None where there was none in time, which is no failure."""
    try:
        return client.request(files.list_folder_longpoll, "files", argument, None, timeout=(_CONNECT_SECONDS, seconds))
    except silent:
        return None
