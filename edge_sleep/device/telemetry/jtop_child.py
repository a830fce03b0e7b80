"""Reads a board through jetson-stats, in a process of its own: `python -m edge_sleep.device.telemetry.jtop_child SECONDS`.

Its client can block for ever, at connecting and at exit, and its licence is not ours: so this process is the only one that
imports it, prints a JSON document for each sample or for the reason why there is none, and is killed when it is not wanted.
"""
from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1                                  # linux/prctl.h
# How the client words what went wrong (jetson-stats 7.2), and our name for it.
_NAMES = {"not active": "no service", "can't access": "no permission", "Mismatch version": "version mismatch",
          "Mismatch of Python": "version mismatch", "Authentication failed": "version mismatch",
          "Lost connection": "connection lost", "Error connection": "connection lost"}

_SAMPLES = [0]


def die_with_parent() -> None:
    """The kernel ends this process when the one that started it is gone, however it went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tell(**document: object) -> None:
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def named(error: BaseException, connected: bool = False) -> tuple[str, str]:
    """(our name, the client's words). connected: whether the service has sent something before."""
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return "no service", text                      # it went between two words of the greeting
    if isinstance(error, ConnectionError) or (connected and isinstance(error, EOFError)):
        return "connection lost", text or "the service ended"
    if isinstance(error, EOFError):
        # What a new client meets where the service's timer thread has died (an unreadable node does that).
        return "service broken", "it accepts connections and sends nothing"
    return next((name for sign, name in _NAMES.items() if sign in text), type(error).__name__), text or type(error).__name__


def watch(interval: float) -> None:
    """Print each sample until the service is lost."""
    from jtop import jtop

    with jtop(interval=interval) as board:
        while board.ok():
            _SAMPLES[0] += 1
            tell(uptime=board.uptime.total_seconds(), interval=board.interval, at=time.monotonic(),
                 temperature=board.temperature, power=board.power,
                 gpu={name: {"load": gpu["status"]["load"], "kilohertz": gpu["freq"].get("cur")}
                      for name, gpu in board.gpu.items()},
                 mode=None if board.nvpmodel is None else board.nvpmodel.name)
    tell(failed="silent", text="the service sends nothing any more: it hangs, or its timer died")


def main() -> None:
    die_with_parent()
    try:
        watch(float(sys.argv[1]))
    except ImportError as error:
        tell(failed="not installed", text=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told by name
        name, text = named(error, _SAMPLES[0] > 0)
        tell(failed=name, text=text)
    finally:
        os._exit(0)                                    # the client's own way out can block


if __name__ == "__main__":
    main()
