"""Trees of files that look like a machine, and answers of probes."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edge_sleep.device.doctor import torch_probes
from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.driver import DRIVER_PROBE
from edge_sleep.device.doctor.onnx_runtime import ONNX_PROBE

TORCH = {"version": "2.13.0", "cuda": None, "gpu": None, "why_no_gpu": None}
ORIN = {"version": "2.15.0", "cuda": "13.2", "gpu": "Orin", "why_no_gpu": None, "capability": [8, 7], "integrated": True,
        "architectures": ["sm_80", "sm_90", "sm_110"], "free_bytes": 3 * 2**30, "total_bytes": 7 * 2**30}
NF4 = {"version": "0.50", "device": "the CPU", "forward": 0.09, "backward": 0.02}
LIBRARIES = {"transformers": "5", "peft": "0.21"}
DRIVER = {"version": 13020, "error": None}
ONNX = {"version": "1.32.0", "adapters": True}
RELEASE = "# R{} (release), REVISION: {}, GCID: 45755727, BOARD: generic, EABI: aarch64, DATE: Mon Jun  1 09:28:48 PM UTC 2026\n" \
          "# KERNEL_VARIANT: oot\n"
MEMINFO = "MemTotal: 7801856 kB\nMemFree: {} kB\nMemAvailable: 5242880 kB\nBuffers: 51200 kB\nCached: {} kB\nShmem: 102400 kB\n"


def attempt(torch=TORCH, nf4=NF4, libraries=LIBRARIES, gpu=None, driver=DRIVER, jtop=None, onnx=ONNX) -> Callable:
    """What each probe answers, or in words what went wrong with it."""
    answers = {torch_probes.TORCH_PROBE: torch, torch_probes.NF4_PROBE: nf4, torch_probes.LIBRARY_PROBE: libraries,
               torch_probes.GPU_PROBE: gpu or {"gpu": "Orin"}, DRIVER_PROBE: driver, ONNX_PROBE: onnx}
    beside = jtop or {"failed": None, "text": ""}

    def answer(code: str, seconds: float = 1.0):
        given = answers.get(code, beside)
        return (given, "") if isinstance(given, dict) else (None, given)
    return answer


def put(file: Path, text: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def board(major: int = 39, revision: str = "2.1", **more) -> Board:
    return Board("NVIDIA Jetson Orin Nano Developer Kit", RELEASE.format(major, revision), **more)


def zone(root: Path, number: int, kind: str, millicelsius: int, **trips: int) -> Path:
    """trips: type -> millidegrees."""
    folder = root / f"sys/devices/virtual/thermal/thermal_zone{number}"
    put(folder / "type", f"{kind}-thermal")
    put(folder / "temp", millicelsius)
    for point, (what, at) in enumerate(trips.items()):
        put(folder / f"trip_point_{point}_type", what)
        put(folder / f"trip_point_{point}_temp", at)
    return folder


def process(root: Path, pid: int, name: str, kib: int, *files: str) -> Path:
    folder = root / f"proc/{pid}"
    put(folder / "comm", name)
    put(folder / "status", f"Name:\t{name}\nVmRSS:\t  {kib} kB")
    (folder / "fd").mkdir()
    for number, file in enumerate(files):
        (folder / "fd" / str(number)).symlink_to(file)
    return folder


def as_another_user(look: Callable[[], str]) -> str:
    """What it says to a user without rights; root has them all, so that it is asked in a process that gave them up."""
    if os.geteuid():
        return look()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(theirs, look().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours, encoding="utf-8") as said:
        return said.read()
