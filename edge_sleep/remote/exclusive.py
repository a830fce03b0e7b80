"""A file under a name that nobody has yet, whole and at once, on file systems that can and on those that cannot.

A hard link (ext4, NFS, most), else a rename that replaces nothing (exFAT, SMB), else a lock among the processes of this machine:
a file system with none of the first two (some FUSE mounts) promises nothing between machines.
"""
from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from edge_sleep.system import lock as locks

_CANNOT = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_PATIENCE_SECONDS = 30.0


def placed(part: Path, target: Path, lock: Path) -> bool:
    """Give the file `part` the name `target`; False where somebody has it. Afterwards `part` may be there or not.

    lock: a file that may be made beside them. Raises OSError as the file system does.
    """
    for way in (_linked, _renamed):
        done = way(part, target)
        if done is not None:
            return done
    return _locked(part, target, lock)


def _linked(part: Path, target: Path) -> bool | None:
    try:
        os.link(part, target)
    except FileExistsError:
        # NFS repeats a request whose answer was lost; the second is told that the name is taken, by the first.
        return part.stat().st_nlink > 1
    except OSError as error:
        if error.errno in _CANNOT:
            return None
        raise
    return True


def _renamed(part: Path, target: Path) -> bool | None:
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return None
    if rename(_AT_FDCWD, os.fsencode(part), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    if code in _CANNOT:
        return None
    raise OSError(code, os.strerror(code), str(target))


def _locked(part: Path, target: Path, lock: Path) -> bool:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not locks.taken(descriptor, _PATIENCE_SECONDS):
            raise OSError(errno.EBUSY, "another process has been publishing for too long", str(lock))
        if os.path.lexists(target):
            return False
        os.replace(part, target)
        return True
    finally:
        os.close(descriptor)
