"""A process under a hard memory limit: a cgroup of its own (v1 or v2), where this user may make one.

The kernel kills what goes over it; page cache counts as it does on a board, and is given back under pressure.
"""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOUNT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class CannotLimit(Exception):
    """This user or this machine cannot make a cgroup with a memory limit; the text says why."""


@dataclass(frozen=True)
class Group:
    """A cgroup with a limit, empty until a process is run in it."""

    folder: Path
    v2: bool

    def run(self, command: Sequence[str], **options) -> subprocess.Popen:
        """Start a command that is inside from its first instruction on."""
        enter = self.folder / "cgroup.procs"
        return subprocess.Popen(command, preexec_fn=lambda: enter.write_text("0") and None, **options)

    def peak_bytes(self) -> int:
        """Most that was charged to it: anonymous memory, page cache, the kernel's own."""
        return int((self.folder / ("memory.peak" if self.v2 else "memory.max_usage_in_bytes")).read_text())

    def at_limit(self) -> int:
        """How often something had to be given back, or a process to die, for an allocation."""
        return self._count("memory.events", "max") if self.v2 else int((self.folder / "memory.failcnt").read_text())

    def kills(self) -> int:
        return self._count("memory.events" if self.v2 else "memory.oom_control", "oom_kill")

    def _count(self, file: str, field: str) -> int:
        return next(int(line.split()[1]) for line in (self.folder / file).read_text().splitlines() if line.split()[0] == field)


class Unlimited:
    """As a group, where there is no limit: nothing is charged, so nothing is known of a peak."""

    def run(self, command: Sequence[str], **options) -> subprocess.Popen:
        return subprocess.Popen(command, **options)

    def peak_bytes(self) -> int | None:
        return None

    def at_limit(self) -> int:
        return 0

    def kills(self) -> int:
        return 0


def _place() -> tuple[Path, bool]:
    """Where a group can be made: under this process's own in v1, beside it in v2 (whose groups hold processes or groups)."""
    for line in OWN.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own = MOUNT / "memory" / path.lstrip("/")
            return (own if own.is_dir() else MOUNT / "memory"), False
    own = MOUNT / next(line.split(":", 2)[2].lstrip("/") for line in OWN.read_text().splitlines() if line.startswith("0::"))
    return (own.parent if own != MOUNT and own.is_dir() else MOUNT), True


@contextmanager
def limited(limit_bytes: int) -> Iterator[Group]:
    """A group with this limit and no swap; removed at the end. Raises CannotLimit."""
    try:
        parent, v2 = _place()
        folder = parent / f"edge-sleep-{os.getpid()}-{limit_bytes}"
        folder.mkdir()
    except (OSError, StopIteration) as error:
        raise CannotLimit(f"no cgroup can be made here: {error}") from error
    group = Group(folder, v2)
    try:
        try:
            (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
            for swap, value in (("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", str(limit_bytes))):
                if (folder / swap).is_file():
                    (folder / swap).write_text(value)
        except OSError as error:
            raise CannotLimit(f"{folder} takes no memory limit: {error}") from error
        yield group
    finally:
        folder.rmdir()
