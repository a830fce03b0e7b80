"""Available memory is the kernel's word, bounded by every cgroup limit above this process."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_sleep.device import memory
from edge_sleep.errors import DeviceError

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path):
    """/proc/meminfo with 8 GiB available, an empty cgroup mount."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {16 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    (tmp_path / "cgroup").write_text("")
    (tmp_path / "mount").mkdir()
    return tmp_path


def available(machine: Path) -> int:
    return memory.available_bytes(machine / "meminfo", machine / "cgroup", machine / "mount")


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_without_a_limit(machine: Path) -> None:
    assert available(machine) == 8 * GIB
    (machine / "cgroup").unlink()
    assert available(machine) == 8 * GIB


def test_v2(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/a/b\n")
    group(machine / "mount/a/b", memory__max="max", memory__current=GIB)
    assert available(machine) == 8 * GIB
    group(machine / "mount/a/b", memory__max=4 * GIB, memory__current=GIB)
    assert available(machine) == 3 * GIB
    group(machine / "mount/a/b", memory__stat=f"inactive_file {GIB // 2}\nactive_file {GIB // 4}")
    assert available(machine) == 3 * GIB + GIB * 3 // 4


def test_a_limit_above_counts(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/a/b\n")
    group(machine / "mount/a", memory__max=2 * GIB, memory__current=GIB)
    group(machine / "mount/a/b", memory__max=4 * GIB, memory__current=GIB)
    assert available(machine) == GIB


def test_v1(machine: Path) -> None:
    (machine / "cgroup").write_text("4:memory:/x\n0::/\n")
    group(machine / "mount/memory/x", memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB,
          memory__stat=f"inactive_file 1\ntotal_inactive_file {GIB // 2}\ntotal_active_file 0\nactive_file 1")
    assert available(machine) == GIB + GIB // 2
    group(machine / "mount/memory/x", memory__limit_in_bytes=9223372036854771712)
    assert available(machine) == 8 * GIB


def test_inside_a_container_the_mount_is_its_own_root(machine: Path) -> None:
    (machine / "cgroup").write_text("4:memory:/docker/0123\n")
    group(machine / "mount/memory", memory__limit_in_bytes=GIB, memory__usage_in_bytes=GIB // 4)
    assert available(machine) == GIB * 3 // 4


def test_over_the_limit_is_none_left(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/a\n")
    group(machine / "mount/a", memory__max=GIB, memory__current=2 * GIB)
    assert available(machine) == 0


@pytest.mark.parametrize("content", ["", "MemAvailable:", "MemAvailable: many kB"])
def test_an_unreadable_meminfo_is_said(machine: Path, content: str) -> None:
    (machine / "meminfo").write_text(content)
    with pytest.raises(DeviceError):
        available(machine)


def test_this_machine() -> None:
    assert 0 < memory.available_bytes() <= memory.total_bytes()
    before = memory.rss_peak_bytes()
    held = bytearray(64 * 2**20)
    assert memory.rss_peak_bytes() >= max(before, len(held))


def test_kills_at_a_limit_are_counted_where_the_kernel_does(machine: Path) -> None:
    def counted() -> int | None:
        return memory.kills_by_limit(machine / "cgroup", machine / "mount")

    assert counted() is None
    (machine / "cgroup").write_text("4:memory:/x\n0::/\n")
    group(machine / "mount/memory/x", memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2")
    assert counted() == 2
    (machine / "cgroup").write_text("0::/a\n")
    group(machine / "mount/a", memory__events="low 0\nhigh 0\nmax 7\noom 3\noom_kill 1")
    assert counted() == 1


def test_what_this_process_holds() -> None:
    before = memory.anonymous_bytes()
    held = b"x" * (64 * 2**20)
    assert memory.anonymous_bytes() - before > 60 * 2**20
    assert memory.data_bytes() > memory.anonymous_bytes() > len(held)
    assert memory.shared_bytes() > 0
    assert memory.for_this_process_bytes() > memory.anonymous_bytes()


def test_a_childs_peak_is_not_its_parents() -> None:
    """getrusage of a process that a large one started never tells less than that one held."""
    held = bytearray(b"x" * (256 << 20))
    code = "from edge_sleep.device import memory; print(memory.rss_peak_bytes())"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 0 < int(said) < len(held)


def test_a_kernel_without_a_high_water_mark(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t1 kB\n")
    assert memory.rss_peak_bytes(tmp_path / "status") > 1 << 20
    (tmp_path / "status").write_text("VmHWM:\t2048 kB\n")
    assert memory.rss_peak_bytes(tmp_path / "status") == 2 << 20
