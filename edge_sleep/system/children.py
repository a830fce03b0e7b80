"""What a child process that runs a module of this package needs: to find it, and to end with whoever started it."""
from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1                              # linux/prctl.h


def environment() -> dict[str, str]:
    """This process's environment, in which `python -m edge_sleep...` finds this very package, from a bare checkout too."""
    import edge_sleep

    root = str(Path(edge_sleep.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def end_with(parent: int) -> None:
    """In the child: killed with the process of that id, which started it. Nobody else would end it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)                                # it ended before the kernel was told
