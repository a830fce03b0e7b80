"""A whole board that is files."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.doctor.machines import MEMINFO, RELEASE, process, put, zone


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """An Orin Nano with JetPack 7.2.1, idle at 45 degrees, where an Xorg runs."""
    root = tmp_path / "jetson"
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    put(root / "etc/nv_tegra_release", RELEASE.format(39, "2.1"))
    put(root / "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  595.58.03  Release Build")
    put(root / "proc/meminfo", MEMINFO.format(3145728, 2097152))
    put(root / "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0\tpartition\t635496\t0\t5\n/swapfile file 8388604 0 -2")
    put(root / "dev/nvidia0", "")
    process(root, 812, "Xorg", 50000, "/dev/nvmap", "socket:[1]")
    zone(root, 0, "cpu", 43000, passive=99000, critical=104500)
    zone(root, 1, "tj", 45000, critical=104500)
    return root
