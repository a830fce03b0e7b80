"""Files for this user's eyes: made 0600 in a folder of 0700 under any umask, and refused where others can read them."""
from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_sleep.errors import SyncError
from edge_sleep.system.files import TEMPORARY, fsync_folder, storage_errors

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_folder(folder: Path) -> None:
    """The folder, 0700. Raises SyncError where it is there and others can look into it."""
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            _refuse_open(folder, folder.stat(), 0o700)
        else:
            folder.chmod(0o700)            # what the umask took away; never more than this


def write(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, whole and durable; at no instant can others read it."""
    make_folder(path.parent)
    with appearing(path) as stream:
        stream.write(content)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name once it is whole and on the disk, for this user's eyes at every instant."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{path.name}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as stream:
                os.fchmod(descriptor, 0o600)
                yield stream
                stream.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)


def read(path: Path) -> bytes:
    """Raises FileNotFoundError; SyncError where others can read the file or its folder, or where it is a link."""
    _refuse_open(path.parent, path.parent.stat(), 0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise SyncError(f"{path} cannot be read: {error.strerror}", "it must be a plain file of this user's own, with mode 0600"
                        ) from error
    with open(descriptor, "rb") as stream:
        _refuse_open(path, os.fstat(descriptor), 0o600)
        return stream.read()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One writer at a time, by a lock file beside what is written."""
    make_folder(path.parent)
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _refuse_open(path: Path, found: os.stat_result, wanted: int) -> None:
    if found.st_mode & _OTHERS:
        raise SyncError(f"{path} can be read or changed by others (mode {stat.S_IMODE(found.st_mode):04o}): it holds secrets",
                        f"chmod {wanted:04o} {path}; if others have an account here, make new keys as well")
    if found.st_uid not in (os.geteuid(), 0):
        raise SyncError(f"{path} belongs to another user (uid {found.st_uid}, this is {os.geteuid()})",
                        f"run as that user, or chown {os.geteuid()} {path}")
