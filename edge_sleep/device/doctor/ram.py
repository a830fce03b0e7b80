"""Memory: what a night can have, what swap is worth, and what the page cache stands in the way of."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edge_sleep.device import memory
from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import GIB, ROOT, Check, text_of

MEMINFO, CGROUP, CGROUP_MOUNT = "proc/meminfo", "proc/self/cgroup", "sys/fs/cgroup"
SWAPS = "proc/swaps"
_WARN_BYTES, _FAIL_BYTES = 2 * GIB, GIB // 2
# Page cache in the way of a model of 0.5 B parameters, where a JetPack does not give it back to the GPU.
_CACHE_BYTES, _FREE_BYTES = GIB, 2 * GIB
_FULL = 0.5                                            # share of swap from which on memory has run short before
_KIB = 1024


class Area(NamedTuple):
    """A line of /proc/swaps."""

    name: str
    size_bytes: int
    used_bytes: int


def check_memory(root: Path = ROOT, available_bytes: int | None = None) -> Check:
    """What the kernel says is available, or less where a cgroup is tighter."""
    meminfo = root / MEMINFO
    available = memory.available_bytes(meminfo, root / CGROUP, root / CGROUP_MOUNT) if available_bytes is None \
        else available_bytes
    found = f"{available / GIB:.1f} of {memory.total_bytes(meminfo) / GIB:.1f} GiB available"
    if available < _meminfo(root).get("MemAvailable", 0):
        found += ", as a cgroup's limit leaves it"
    if available < _FAIL_BYTES:
        return Check("memory", "fail", found, "stop what else runs; even the seedling needs 0.5 GiB")
    if available < _WARN_BYTES:
        return Check("memory", "warn", found, "enough for the seedling; a 0.5 B model needs about 2 GiB")
    return Check("memory", "ok", found)


def check_swap(shared: bool, root: Path = ROOT) -> Check:
    """shared: the GPU has no memory of its own, so that zram takes from it."""
    areas = _swaps(text_of(root / SWAPS) or "")
    if not areas:
        return Check("swap", "ok", "none")
    size, used = sum(area.size_bytes for area in areas), sum(area.used_bytes for area in areas)
    zram = [area for area in areas if "zram" in area.name]
    found = f"{size / GIB:.1f} GiB, {used / GIB:.1f} in use"
    if zram:
        found += ", all of it zram" if zram == areas else f", {sum(area.size_bytes for area in zram) / GIB:.1f} of it zram"
    if shared and any(area.used_bytes for area in zram):
        return Check("swap", "warn", f"{found}: zram fills the memory that the GPU needs",
                     "swap to NVMe instead: make a swap file there, then `sudo systemctl disable --now nvzramconfig`")
    if used > _FULL * size:
        return Check("swap", "warn", found, "memory has run short; stop what else runs before a night")
    return Check("swap", "ok", found)


def check_page_cache(board: Board, shared: bool, root: Path = ROOT) -> Check | None:
    """None where the GPU has its own memory: there the kernel gives the cache back by itself."""
    if not shared:
        return None
    fields = _meminfo(root)
    free = fields["MemFree"]
    cache = max(0, fields["Cached"] + fields.get("Buffers", 0) - fields.get("Shmem", 0))
    found = f"{cache / GIB:.1f} GiB beside {free / GIB:.1f} GiB free"
    if board.jetson and not board.unified and cache >= _CACHE_BYTES and free < _FREE_BYTES:
        return Check("page cache", "warn", f"{found}; before JetPack 7.2 the GPU does not always get it back",
                     "before a night: `sync; sudo sysctl vm.drop_caches=3`")
    return Check("page cache", "ok", f"{found}; CUDA counts it as used, edge_sleep does not")


def _swaps(text: str) -> list[Area]:
    rows = [line.split() for line in text.splitlines()[1:]]
    return [Area(row[0], int(row[2]) * _KIB, int(row[3]) * _KIB) for row in rows if len(row) >= 4]


def _meminfo(root: Path) -> dict[str, int]:
    rows = [line.replace(":", " ").split() for line in (text_of(root / MEMINFO) or "").splitlines()]
    return {row[0]: int(row[1]) * _KIB for row in rows if len(row) == 3}
