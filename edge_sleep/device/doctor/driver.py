"""The GPU's driver: its version, the CUDA it serves, and whether it starts."""
from __future__ import annotations

import re
from pathlib import Path

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import ROOT, Check, Try, text_of, try_code

VERSION = "proc/driver/nvidia/version"
DRIVER_PROBE = """
import ctypes, json
driver = ctypes.CDLL("libcuda.so.1")
version, name = ctypes.c_int(0), ctypes.c_char_p()
asked = driver.cuDriverGetVersion(ctypes.byref(version))
print("at starting the driver (cuInit)", flush=True)
begun = driver.cuInit(0)
if begun:
    driver.cuGetErrorName(begun, ctypes.byref(name))
print(json.dumps({"version": 0 if asked else version.value,
                  "error": (name.value or b"error").decode() + f" ({begun})" if begun else None}))
"""
_PROBE_SECONDS = 60.0


def parse_driver(text: str) -> str | None:
    """540.4.0 of `NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build ...`."""
    found = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text + " ")
    return None if found is None else found[1]


def serves(driver: tuple[int, int], built: str | None) -> str | None:
    """Why a driver for this CUDA cannot run what was built with another; None where it can, as within a major version."""
    if built is None or driver[0] >= int(built.partition(".")[0]):
        return None
    return f"what is built with CUDA {built} needs a driver for {built.partition('.')[0]}"


def check_cuda(board: Board, built: str | None, attempt: Try = try_code, root: Path = ROOT) -> Check | None:
    """built: the CUDA of torch. None on a machine without a sign of NVIDIA."""
    if not (board.nodes or board.jetson):
        return None
    version = parse_driver(text_of(root / VERSION) or "")
    found = f"driver {version}" if version else "driver"
    facts, problem = attempt(DRIVER_PROBE, _PROBE_SECONDS)
    if facts is None:
        do = "install the driver; in a container: --runtime nvidia" if "libcuda" in problem else "restart the board"
        return Check("cuda", "warn", f"{found}: {problem}", do)
    cuda = (facts["version"] // 1000, facts["version"] % 1000 // 10)
    found += f" for CUDA {cuda[0]}.{cuda[1]}; torch was built with {built or 'none'}"
    if facts["error"]:
        return Check("cuda", "warn", f"{found}; it does not start: {facts['error']}", "a container needs --runtime nvidia "
                     "and an image of the board's JetPack; else restart the board")
    why = serves(cuda, built)
    if why is not None:
        return Check("cuda", "warn", f"{found}: {why}", f"install a torch for CUDA {cuda[0]}"
                     + (", or flash JetPack 7.2" if board.jetson else ", or a newer driver"))
    return Check("cuda", "ok", found)
