"""Runs a program that reads or changes the board: nothing on stdin, a hard time limit, one at a time.

A killed night can leave such a program behind at work. It holds the guard's lock until it ends (its copy of the open file does),
so that the next start does not read a board that is about to change.
"""
from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_sleep.errors import DeviceError
from edge_sleep.system.files import storage_errors
from edge_sleep.system.lock import taken

SECONDS = 30.0
_POLL_SECONDS = 0.05


def run(command: Sequence[str], guard: Path, seconds: float = SECONDS, environment: dict[str, str] | None = None) -> str:
    """What it printed, whatever its exit code: nvpmodel exits with 0 where it changed nothing. Raises DeviceError."""
    with _turn(guard, seconds) as descriptor:
        try:
            # A session of its own: Ctrl-C on the terminal is for the night, not for a change that is under way.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       pass_fds=(descriptor,), start_new_session=True,
                                       env=None if environment is None else {**os.environ, **environment})
        except OSError as error:
            raise DeviceError(f"{command[0]} cannot be started: {error.strerror}") from error
        ended = False
        try:
            said, _ = process.communicate(timeout=seconds)
            ended = True
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{' '.join(command[:3])} did not end within {seconds:.0f} s and was killed") from None
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=seconds)       # a change is not cut in its middle
            raise
        finally:
            if not ended:
                with suppress(ProcessLookupError):         # its helpers too: one may outlive it and hold the lock
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return said.decode("utf-8", "replace")


def last_line(said: str) -> str:
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing was said")


@contextmanager
def _turn(guard: Path, seconds: float) -> Iterator[int]:
    """The locked guard, for the program to inherit."""
    with storage_errors(guard):
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not taken(descriptor, seconds, _POLL_SECONDS):
            raise DeviceError(f"a program that an earlier start left behind still holds {guard} after {seconds:.0f} s",
                              f"`fuser {guard}` says which")
        yield descriptor
    finally:
        os.close(descriptor)
