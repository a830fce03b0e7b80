"""The shim between this process and libc (shim.c): made where there is a compiler, loaded by starting this process anew."""
from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_LOADED = "EDGE_SLEEP_FAULTS_SHIM"
ONCE, FROM, HALF, KILL = 1, 2, 3, 4       # this call fails; this and all later; half of it, then all; the process dies before it


def preload(module: str = "tests.faults") -> None:
    """Start this process, which runs `module`, anew with the shim in it; without a compiler it goes on as it is, and says so."""
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
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]],
              {**os.environ, _LOADED: str(made), "LD_PRELOAD": str(made), "OMP_NUM_THREADS": "1"})


@cache
def library() -> ctypes.CDLL | None:
    """The shim of this process; None where it runs without one."""
    if _LOADED not in os.environ:
        return None
    return ctypes.CDLL(os.environ[_LOADED])


def arm(under: Path, number: int, how: int, error: int, log: Path) -> None:
    """From now on the `number`-th call that changes files under this folder meets this fate, and is named in `log`; 0: all are named,
    none fails. For a forked child."""
    shim = library()
    assert shim is not None
    into = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    shim.faults_arm(str(under).encode(), ctypes.c_long(number), how, error, into)


def leap(seconds: int) -> None:
    """The wall clock of this process is so many seconds away from now on."""
    shim = library()
    assert shim is not None
    shim.faults_leap(ctypes.c_longlong(seconds))


def starve(number: int, how: int) -> None:
    """From now on the `number`-th tensor of this process finds no memory; ONCE, or FROM then on."""
    shim = library()
    assert shim is not None
    shim.faults_starve(ctypes.c_long(number), how)
