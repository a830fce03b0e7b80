"""Memory, swap and page cache of machines that are files."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.ram import check_memory, check_page_cache, check_swap
from tests.device.doctor.machines import MEMINFO, board, put

HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize("available, status", [(0, "fail"), (2**30, "warn"), (8 * 2**30, "ok")])
def test_memory(available: int, status: str) -> None:
    assert check_memory(available_bytes=available).status == status


def test_what_the_kernel_says_is_available_counts(jetson: Path) -> None:
    assert check_memory(jetson).found == "5.0 of 7.4 GiB available"
    put(jetson / "proc/self/cgroup", "0::/")
    put(jetson / "sys/fs/cgroup/memory.max", 2**30)
    put(jetson / "sys/fs/cgroup/memory.current", 2**29)
    assert check_memory(jetson).found == "0.5 of 7.4 GiB available, as a cgroup's limit leaves it"


@pytest.mark.parametrize("areas, shared, status, found", [
    ("", True, "ok", "none"),
    ("/swapfile file 8388604 0 -2", True, "ok", "8.0 GiB, 0.0 in use"),
    ("/swapfile file 8388604 6291456 -2", False, "warn", "8.0 GiB, 6.0 in use"),
    ("/dev/zram0 partition 4194304 0 5", True, "ok", "4.0 GiB, 0.0 in use, all of it zram"),
    ("/dev/zram0 partition 4194304 524288 5", True, "warn", "zram fills the memory that the GPU needs"),
    ("/dev/zram0 partition 4194304 524288 5", False, "ok", "all of it zram"),
    ("/dev/zram0 partition 2097152 0 5\n/swapfile file 8388608 9 -2", True, "ok", "10.0 GiB, 0.0 in use, 2.0 of it zram")])
def test_swap(tmp_path: Path, areas: str, shared: bool, status: str, found: str) -> None:
    put(tmp_path / "proc/swaps", HEAD + areas)
    line = check_swap(shared, tmp_path)
    assert (line.status, found in line.found, bool(line.do)) == (status, True, status != "ok"), line


def test_a_kernel_without_swap(tmp_path: Path) -> None:
    assert check_swap(False, tmp_path).status == "ok"


@pytest.mark.parametrize("place, free_gib, cached_gib, status", [
    (board(36, "4.3"), 1, 3, "warn"), (board(36, "4.3"), 4, 3, "ok"), (board(36, "4.3"), 1, 0.5, "ok"),
    (board(39, "2.1"), 1, 3, "ok"), (board(36, "?"), 1, 3, "warn"), (Board(), 1, 3, "ok")])
def test_page_cache_in_the_way(tmp_path: Path, place: Board, free_gib: float, cached_gib: float, status: str) -> None:
    put(tmp_path / "proc/meminfo", MEMINFO.format(int(free_gib * 2**20), int(cached_gib * 2**20)))
    line = check_page_cache(place, True, tmp_path)
    assert (line.status, "drop_caches" in line.do) == (status, status == "warn"), line


def test_a_gpu_with_its_own_memory_leaves_the_cache_alone() -> None:
    assert check_page_cache(Board(), False) is None
