"""Children of a campaign: forked with everything imported, ended by their end or by -9.

`forked` and `ended` are how every campaign runs something that may die; `kill_at` lets a process kill itself at its n-th look at the
file system.
"""
from __future__ import annotations

import os
import signal
import sys
import traceback
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


def forked(work: Callable[[], object]) -> int:
    """The pid of a child that does `work`. Its exit status is the number that `work` returns, 1 where it raises, else 0.

    The caller has one thread, or torch in it may not be forked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = done if isinstance(done := work(), int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for it: its exit status, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
