"""Who has the GPU open, in a /proc made of files."""
from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.residents import check_residents, holders
from tests.device.doctor.machines import as_another_user, board, process, put

CLIENTS = """CLIENT                        PROCESS      PID        SIZE
user                               Xorg      812     49152K
user                     llama server       1400   2097152K
total                                              2146304K"""


def test_open_nodes_count_and_other_files_do_not(jetson: Path) -> None:
    process(jetson, 900, "bash", 4000, "/dev/pts/0", "/dev/null")
    process(jetson, 901, "python", 900000, "/etc/passwd", "/dev/nvhost-gpu")
    process(jetson, 902, "doctor", 900000, "/dev/nvgpu/igpu0/ctrl")
    put(jetson / "proc/903/comm", "ended")
    found, whole = holders(jetson, myself=902)
    assert [(holder.pid, holder.name, holder.resident_bytes) for holder in found] == [
        (901, "python", 900000 * 1024), (812, "Xorg", 50000 * 1024)]
    assert whole


def test_nvmap_tells_what_the_resident_set_does_not(jetson: Path) -> None:
    put(jetson / "sys/kernel/debug/nvmap/iovmm/clients", CLIENTS)
    found, _ = holders(jetson, myself=1)
    assert [str(holder) for holder in found] == ["llama server (1400, 0 MiB and 2048 on the GPU)", "Xorg (812, 49 MiB and 48 on the GPU)"]


@pytest.mark.parametrize("kib, shared, status", [(900000, True, "warn"), (900000, False, "ok"), (1000, True, "ok")])
def test_the_line(jetson: Path, kib: int, shared: bool, status: str) -> None:
    process(jetson, 901, "vllm", kib, "/dev/nvidia0")
    line = check_residents(board(), shared, jetson, myself=1)
    assert (line.status, "vllm (901" in line.found, bool(line.do)) == (status, True, status == "warn")


def test_many_are_counted(jetson: Path) -> None:
    for pid in range(1000, 1010):
        process(jetson, pid, "worker", 1, "/dev/nvmap")
    assert check_residents(board(), True, jetson, myself=1).found.endswith("and 8 more")


def test_nobody_and_no_gpu(tmp_path: Path) -> None:
    assert check_residents(board(), True, tmp_path).found == "none"
    assert check_residents(Board(), False, tmp_path) is None


def test_what_another_user_holds_is_not_claimed_to_be_nothing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (process(root, 901, "vllm", 900000, "/dev/nvidia0") / "fd").chmod(0)
        said = as_another_user(lambda: check_residents(board(), True, root, myself=1).found)
        (root / "proc/901/fd").chmod(0o755)
    assert said == "none; other users' processes are not shown, sudo would"


def test_this_machine() -> None:
    """The real /proc, in which processes come and go."""
    found, _ = holders()
    assert all(holder.name for holder in found)
