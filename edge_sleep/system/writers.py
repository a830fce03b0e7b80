"""Which files somebody is writing: what a process has open for writing is not whole yet."""
from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
_WRITABLE = os.O_WRONLY | os.O_RDWR

Identity = tuple[int, int]             # device and inode


def identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def being_written(suffixes: tuple[str, ...], proc: Path = PROC, myself: int | None = None) -> set[Identity]:
    """The files with one of these endings that another process has open for writing.

    Only what this user may look into is seen: another user's processes are not, nor those outside a container.
    """
    mine = os.getpid() if myself is None else myself
    found: set[Identity] = set()
    for folder in proc.glob("[0-9]*"):
        if folder.name == str(mine):
            continue
        try:
            descriptors = os.listdir(folder / "fd")
        except OSError:
            continue                   # it has ended, or is another's
        for descriptor in descriptors:
            try:
                link = folder / "fd" / descriptor
                if os.readlink(link).lower().endswith(suffixes) and _writable(folder / "fdinfo" / descriptor):
                    found.add(identity(link))
            except OSError:
                continue
    return found


def _writable(info: Path) -> bool:
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return bool(int(value, 8) & _WRITABLE)
    return False
