"""A small process that holds the session lock between `session begin` and `session end`.

Started as `python -m edge_sleep.cli.holder LOCK WHAT`; says `held` or why not, then waits to be ended.
"""
from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from edge_sleep.errors import EdgeSleepError
from edge_sleep.system import lock

# Whoever asks about a lock takes it shared for an instant; that is no reason to give up.
_ATTEMPTS, _PAUSE_SECONDS = 5, 0.05


def main(path: Path, what: str) -> int:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with lock.hold(path, what):
                # Blocked first, so that an end that comes at once is not lost.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
                print("held", flush=True)
                _let_go_of_terminal()
                signal.sigwait({signal.SIGTERM, signal.SIGINT})
                return 0
        except EdgeSleepError as error:
            if attempt == _ATTEMPTS:
                print(error.message.replace("\n", " "), flush=True)
                return int(error.exit_code)
            time.sleep(_PAUSE_SECONDS)
    return 1


def _let_go_of_terminal() -> None:
    """Nothing of the caller's is kept open: a pipe held here would keep its reader waiting."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    os.chdir("/")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
