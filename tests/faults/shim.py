"""The shim between this process and libc (shim.c): made where there is a compiler, loaded by starting this process anew."""
from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_LOADED = "EDGE_SLEEP_FAULTS_SHIM"
HOW = {"one call": 1, "from then on": 2, "half, then all": 3}
KILL = 4
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS")}


def preload() -> None:
    """Start this process anew with the shim in it; without a compiler it goes on as it is, and says so."""
    if _LOADED in os.environ:
        return
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: disk and clock faults are left out", flush=True)
        return
    made = Path(tempfile.gettempdir()) / f"edge-sleep-faults-shim-{os.getuid()}-{_SOURCE.stat().st_mtime_ns}.so"
    if not made.is_file():
        staged = made.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", staged, _SOURCE, "-ldl"], check=True)
        staged.rename(made)
    os.execve(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]],
              {**os.environ, _LOADED: str(made), "LD_PRELOAD": str(made), "OMP_NUM_THREADS": "1"})


@cache
def library() -> ctypes.CDLL | None:
    """The shim of this process; None where it runs without one."""
    if _LOADED not in os.environ:
        return None
    found = ctypes.CDLL(os.environ[_LOADED])
    found.faults_where.restype = ctypes.c_char_p
    found.faults_seen.restype = ctypes.c_long
    return found


def arm(under: Path, number: int, how: int, error: int) -> Callable[[], tuple[int, str]]:
    """From now on the `number`-th call that changes files under this folder meets this fate. What tells (how many there were, which
    one was hit): for a forked child."""
    shim = library()
    assert shim is not None
    shim.faults_arm(str(under).encode(), ctypes.c_long(number), how, error)
    return lambda: (shim.faults_seen(), shim.faults_where().decode())


def leap(seconds: int) -> None:
    """The wall clock of this process is so many seconds away from now on."""
    shim = library()
    assert shim is not None
    shim.faults_leap(ctypes.c_longlong(seconds))
