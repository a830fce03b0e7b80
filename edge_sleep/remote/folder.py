"""A folder as a remote: a disk, NFS, SMB, a stick, an rclone mount, a folder that Syncthing keeps.

What is being written lies in `.partial/` of that folder until it is whole (a line `/.partial` in `.stignore` spares Syncthing the
work). Files with other names than ours, links and devices are somebody else's: they are neither listed nor followed. Of two that
publish one name in one file system, one succeeds. Where a program copies the folder from machine to machine, each of them
publishes into its own copy, and which one stays is that program's choice: who publishes reads again, later, what became of it.
"""
from __future__ import annotations

import builtins
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge_sleep.errors import SyncError
from edge_sleep.remote.bandwidth import Bandwidth
from edge_sleep.remote.exclusive import placed
from edge_sleep.remote.protocol import Entry, Full, Missing, NotAllowed, Taken, Unreachable, checked, checked_prefix, is_name
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import fsync_folder, storage_errors, write_json

PARTIAL = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_COMPARED_BYTES = 1 << 20
_ABANDONED_SECONDS = 14 * 86400.0      # a transfer that nobody went on with for so long is over
_LOOK_SECONDS = (1.0, 5.0)             # from, to: between two looks of `wait`


class FolderRemote:
    """See protocol.Remote. The folder must be there: a stick that is not plugged in must not be taken for an empty one."""

    def __init__(self, root: Path, *, clock: Clock | None = None, bandwidth_bytes: int | None = None):
        self.root, self._clock = root, clock or Clock()
        self._bandwidth = Bandwidth(bandwidth_bytes, self._clock)
        self._listed: dict[str, builtins.list[Entry]] = {}

    def list(self, prefix: str) -> builtins.list[Entry]:
        checked_prefix(prefix)
        with self._answers():
            self._listed[prefix] = sorted(_blobs(self._path(prefix), prefix), key=lambda entry: entry.name)
        return builtins.list(self._listed[prefix])

    def stat(self, name: str) -> Entry | None:
        with self._answers():
            try:
                found = self._path(checked(name)).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            return _entry(name, found) if stat.S_ISREG(found.st_mode) else None

    def put(self, name: str, source: Path, note: Path) -> Entry:
        target, size = self._path(checked(name)), source.stat().st_size
        if (there := self.stat(name)) and there.size_bytes == size:
            self._forget(note)
            return there
        part = self._part(self._noted(name, note))
        try:
            with open(source, "rb") as reader, self._opened(part) as writer:
                reader.seek(self._same(reader, writer))
                while block := reader.read(self._bandwidth.block_bytes()):
                    with self._answers():
                        writer.write(block)
                    self._bandwidth.spent(len(block))
                with self._answers():
                    writer.flush()
                    os.fsync(writer.fileno())
            with self._answers():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, target)
                _settle(target.parent)
        except Full:
            self._forget(note)
            raise
        note.unlink(missing_ok=True)
        return self._written(name)

    def get(self, name: str, target: Path) -> Entry:
        part = target.with_name(f"{target.name}.part")
        with self._reading(name) as (reader, entry):
            with storage_errors(part):
                part.parent.mkdir(parents=True, exist_ok=True)
                writer = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
            with writer, storage_errors(part):
                done = self._agreed(reader, writer, entry.size_bytes)
                reader.seek(done)
                while block := self._read(reader, self._bandwidth.block_bytes()):
                    writer.write(block)
                    done += len(block)
                    self._bandwidth.spent(len(block))
                writer.flush()
                os.fsync(writer.fileno())
        if done != entry.size_bytes:
            part.unlink(missing_ok=True)
            raise Unreachable(f"{name} in {self.root} changed while it was fetched", "it is tried again later")
        with storage_errors(target):
            os.replace(part, target)
            fsync_folder(target.parent)
        return entry

    def publish(self, name: str, content: bytes, *, replace: bool = False) -> Entry:
        target = self._path(checked(name))
        part = self._part(secrets.token_hex(16))
        with self._answers():
            try:
                with open(part, "xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                target.parent.mkdir(parents=True, exist_ok=True)
                if replace:
                    _make_newer(part, target)
                    os.replace(part, target)
                elif not placed(part, target, lock=self._path(PARTIAL) / "lock"):
                    raise Taken(f"{name} is in {self.root} already")
                _settle(target.parent)
            finally:
                part.unlink(missing_ok=True)
        return self._written(name)

    def read(self, name: str, limit_bytes: int) -> bytes:
        with self._reading(name) as (reader, entry):
            if entry.size_bytes > limit_bytes:
                raise SyncError(f"{name} in {self.root} has {entry.size_bytes} bytes; {limit_bytes} are expected at most",
                                "it is not what edge-sleep wrote; look at it, and remove it")
            return self._read(reader, limit_bytes)

    def delete(self, name: str) -> None:
        with self._answers(), suppress(FileNotFoundError, NotADirectoryError):
            self._path(checked(name)).unlink()

    def wait(self, prefix: str, seconds: float) -> bool:
        until, pause = self._clock.monotonic() + seconds, _LOOK_SECONDS[0]
        before = self._listed.get(prefix)
        before = self.list(prefix) if before is None else before
        while self.list(prefix) == before:
            left = until - self._clock.monotonic()
            if left <= 0:
                return False
            self._clock.sleep(min(pause, left))
            pause = min(2 * pause, _LOOK_SECONDS[1])
        return True

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """What the folder's file system says, in the words of a remote."""
        try:
            if not self.root.is_dir():
                raise Unreachable(f"{self.root} is not there", f"mount it, or make it with `mkdir -p {self.root}` (it is not "
                                  "made for you: where a disk is missing, all would be written to another)")
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise Full(f"no space left in {self.root}", "make room there; what waits is sent later") from error
            if error.errno in _DENIED:
                raise NotAllowed(f"{self.root} does not let this user in: {error.strerror}",
                                 "give this user write permission there") from error
            raise Unreachable(f"{self.root} does not answer as a folder does: {error.strerror or error}",
                              "it is tried again later") from error

    def _path(self, name: str) -> Path:
        """Where a checked name lies. Raises SyncError where a link on the way leads elsewhere."""
        path = self.root
        with self._answers():
            for part in filter(None, name.split("/")):
                path = path / part
                if path.is_symlink():
                    raise SyncError(f"{path} is a link; on a remote none is followed", "see who put it there, and remove it")
        return path

    def _written(self, name: str) -> Entry:
        entry = self.stat(name)
        if entry is None:
            raise Unreachable(f"{name} was written to {self.root}, and is gone", "see which program tidies that folder")
        return entry

    @contextmanager
    def _reading(self, name: str) -> Iterator[tuple[BinaryIO, Entry]]:
        with self._answers():
            try:
                # A pipe that somebody put there must not block, a link not lead away.
                descriptor = os.open(self._path(checked(name)), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                raise Missing(f"{name} is not in {self.root}") from None
            reader = os.fdopen(descriptor, "rb")
        with reader:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Missing(f"{name} in {self.root} is not a file")
            yield reader, _entry(name, found)

    def _read(self, reader: BinaryIO, most: int) -> bytes:
        with self._answers():
            return reader.read(most)

    def _part(self, file_name: str) -> Path:
        with self._answers():
            folder = self._path(PARTIAL)
            folder.mkdir(exist_ok=True)
            return folder / file_name

    def _noted(self, name: str, note: Path) -> str:
        """The file in PARTIAL that this transfer has; chosen now, if it has none."""
        if (noted := _note(note)).get("name") == name:
            return noted["part"]
        part = secrets.token_hex(16)
        write_json(note, {"format": 1, "name": name, "part": part})
        return part

    def _forget(self, note: Path) -> None:
        if noted := _note(note):
            with self._answers():
                (self._path(PARTIAL) / noted["part"]).unlink(missing_ok=True)
        note.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, part: Path) -> Iterator[BinaryIO]:
        with self._answers():
            new = not part.exists()
            writer = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666), "r+b")
            if new:
                _sweep(part)
        try:
            yield writer
        finally:
            with self._answers():
                writer.close()

    def _same(self, reader: BinaryIO, writer: BinaryIO) -> int:
        """How many first bytes are there already; what follows them is cut off. All of it is compared: nobody would mend it."""
        same = 0
        with self._answers():
            while (block := writer.read(_COMPARED_BYTES)) and block == reader.read(len(block)):
                same += len(block)
            writer.seek(same)
            writer.truncate()
        return same

    def _agreed(self, reader: BinaryIO, writer: BinaryIO, size: int) -> int:
        """How many bytes of a part go on: all, if its end is what the remote has there. Whoever fetches verifies the whole."""
        done = os.fstat(writer.fileno()).st_size
        begin = max(0, done - _COMPARED_BYTES)
        if 0 < done <= size:
            writer.seek(begin)
            with self._answers():
                reader.seek(begin)
            if writer.read(done - begin) == self._read(reader, done - begin):
                return done
        writer.seek(0)
        writer.truncate()
        return 0


def _entry(name: str, found: os.stat_result) -> Entry:
    # No inode: a FUSE file system may number a file anew each time.
    return Entry(name, found.st_size, f"{found.st_mtime_ns}-{found.st_size}")


def _blobs(folder: Path, prefix: str) -> Iterator[Entry]:
    try:
        inside = builtins.list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in inside:
        name = prefix + item.name
        if not is_name(name) or item.is_symlink():
            continue
        try:
            found = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _blobs(folder / item.name, f"{name}/")
        elif stat.S_ISREG(found.st_mode):
            yield _entry(name, found)


def _note(note: Path) -> dict[str, str]:
    """What a note says; empty where there is none, or where it is not one of ours."""
    try:
        noted = json.loads(note.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    part = noted.get("part") if isinstance(noted, dict) else None
    return noted if isinstance(part, str) and is_name(part) and "/" not in part else {}


def _make_newer(part: Path, target: Path) -> None:
    """A document that replaces another is seen by its time; clocks of file systems tick slowly, and go back."""
    with suppress(FileNotFoundError):
        before, now = target.lstat().st_mtime_ns, part.stat()
        if now.st_mtime_ns <= before:
            os.utime(part, ns=(now.st_atime_ns, before + 1_000_000))


def _settle(folder: Path) -> None:
    """fsync of a folder, which not every file system has."""
    try:
        fsync_folder(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES):
            raise


def _sweep(part: Path) -> None:
    """Remove what was abandoned; both times are the file system's own, whatever clock that has."""
    now = part.stat().st_mtime
    for other in part.parent.iterdir():
        with suppress(FileNotFoundError):
            if other.is_file() and other.lstat().st_mtime < now - _ABANDONED_SECONDS:
                other.unlink()
