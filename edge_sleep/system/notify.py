"""Words to the service manager: the sd_notify protocol, a datagram to the socket that systemd names. Without one, silence."""
from __future__ import annotations

import os
import socket
import time

_MICROSECONDS = 1e6


def notify(**assignments: object) -> bool:
    """Send READY=1, STATUS=..., WATCHDOG=1 and the like; False where nobody listens. Raises nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    message = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in assignments.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(1.0)               # a manager that hangs must not hang the service
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall(message.encode())
        return True
    except OSError:
        return False


def reloading() -> bool:
    """Say that the configuration is read anew; READY=1 ends it."""
    return notify(RELOADING=1, MONOTONIC_USEC=int(time.monotonic() * _MICROSECONDS))


def watchdog_seconds() -> float | None:
    """How often the manager wants to hear from this very process; None: never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / _MICROSECONDS or None
    except (KeyError, ValueError):
        return None


def in_journal() -> bool:
    """Whether stderr goes to the journal, which reads a line's priority from a prefix like <4>."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
