"""Death at an instant: `kill_at` lets a process kill itself with -9 at its n-th look at the file system."""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_SEEN = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree", "os.listdir", "os.scandir")


def kill_at(number: int | None) -> Callable[[], int]:
    """From now on this process dies at its `number`-th such event (None: it lives). Returns what tells how many it has had.

    An audit hook cannot be taken back: for a forked child.
    """
    count = 0

    def hook(event: str, _: tuple) -> None:
        nonlocal count
        if event in _SEEN:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count
