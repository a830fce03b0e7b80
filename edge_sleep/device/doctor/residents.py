"""Who else holds the GPU: on a board that shares its memory, a second process with a model is what a night dies of."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import GIB, ROOT, Check, text_of

NODES = ("/dev/nvidia", "/dev/nvhost", "/dev/nvmap", "/dev/nvgpu")
CLIENTS = "sys/kernel/debug/nvmap/iovmm/clients"       # root only; Orin and older
_CLIENT = re.compile(r"user\s+(\S.*?)\s+(\d+)\s+(\d+)K?")
_MUCH_BYTES = GIB // 2
_SHOWN = 3
_KIB, _MIB = 1024, 2**20


@dataclass(frozen=True)
class Holder:
    pid: int
    name: str
    resident_bytes: int = 0
    gpu_bytes: int | None = None                       # by NvMap; None where it does not tell

    @property
    def held_bytes(self) -> int:
        """What would be free without it; NvMap's pages are not in the resident set."""
        return self.resident_bytes + (self.gpu_bytes or 0)

    def __str__(self) -> str:
        gpu = "" if self.gpu_bytes is None else f" and {self.gpu_bytes / _MIB:.0f} on the GPU"
        return f"{self.name} ({self.pid}, {self.resident_bytes / _MIB:.0f} MiB{gpu})"


def holders(root: Path = ROOT, myself: int | None = None) -> tuple[list[Holder], bool]:
    """(other processes with a GPU node open, largest first; whether every process could be looked into)."""
    mine = os.getpid() if myself is None else myself
    clients = dict(_clients(text_of(root / CLIENTS) or ""))
    found, whole = {}, True
    for folder in (root / "proc").glob("[0-9]*"):
        pid = int(folder.name) if folder.name.isdecimal() else mine
        if pid == mine:
            continue
        opened = _opens_gpu(folder / "fd")
        whole = whole and opened is not None
        if opened or pid in clients:
            name, gpu = clients.get(pid, ("", None))
            found[pid] = Holder(pid, text_of(folder / "comm") or name or "?", _resident(folder), gpu)
    for pid in clients.keys() - found.keys() - {mine}:
        found[pid] = Holder(pid, clients[pid][0], 0, clients[pid][1])
    return sorted(found.values(), key=lambda holder: (-holder.held_bytes, holder.pid)), whole


def check_residents(board: Board, shared: bool, root: Path = ROOT, myself: int | None = None) -> Check | None:
    """shared: they hold what a night needs; else it is information. None on a machine without a sign of NVIDIA."""
    if not (board.nodes or board.jetson):
        return None
    found, whole = holders(root, myself)
    unseen = "" if whole else "; other users' processes are not shown, sudo would"
    if not found:
        return Check("gpu users", "ok", f"none{unseen}")
    told = ", ".join(map(str, found[:_SHOWN])) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "") + unseen
    if shared and sum(holder.held_bytes for holder in found) >= _MUCH_BYTES:
        return Check("gpu users", "warn", told, "stop them before a night: a service with `systemctl stop`, the desktop with "
                     "`sudo systemctl isolate multi-user.target`")
    return Check("gpu users", "ok", told)


def _opens_gpu(folder: Path) -> bool | None:
    """Whether a process has a GPU node open; None where it belongs to someone else, False where it has ended."""
    try:
        files = list(folder.iterdir())
    except PermissionError:
        return None
    except OSError:
        return False
    for file in files:
        try:
            if os.readlink(file).startswith(NODES):
                return True
        except OSError:
            continue
    return False


def _resident(folder: Path) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", text_of(folder / "status") or "", re.MULTILINE)
    return 0 if found is None else int(found[1]) * _KIB


def _clients(text: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """(pid, (name, bytes)) of each process in NvMap's table: CLIENT, PROCESS, PID, SIZE, and a line with the total."""
    for line in text.splitlines():
        found = _CLIENT.fullmatch(line.strip())
        if found is not None:
            yield int(found[2]), (found[1], int(found[3]) * _KIB)
