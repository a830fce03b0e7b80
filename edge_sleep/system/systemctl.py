"""Talking to systemd through systemctl: of the system, or of this user's own manager. Raises nothing."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

SYSTEM_FOLDER = Path("/etc/systemd/system")
_SECONDS = 60.0


def folder_of(of_system: bool) -> Path:
    """Where units of one's own lie."""
    if of_system:
        return SYSTEM_FOLDER
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def command(of_system: bool, *words: str) -> list[str]:
    return ["systemctl", *([] if of_system else ["--user"]), *words]


def environment() -> dict[str, str]:
    """This process's, with what leads to the user's own manager: a service and a cron job lack it."""
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **os.environ}


def start(unit: str, of_system: bool) -> list[str]:
    """Let systemd read and start a unit; empty where it did, else what went wrong and the lines to type instead."""
    for words in (("daemon-reload",), ("enable", unit), ("restart", unit)):
        if (why := tell(of_system, *words)) is not None:
            to_type = "systemctl" if of_system else "systemctl --user"
            return [f"not started: {why}", f"to start it: {to_type} daemon-reload && {to_type} enable --now {unit}"]
    return []


def stop(unit: str, of_system: bool) -> str | None:
    """End a unit and start it no more; why that did not work, or None."""
    return tell(of_system, "disable", "--now", unit)


def tell(of_system: bool, *words: str) -> str | None:
    """Why it did not do it; None where it did."""
    try:
        done = _run(of_system, *words)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"systemctl does not run here: {error}"
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"systemctl ended with {done.returncode}"


def ask(question: str, unit: str, of_system: bool) -> str:
    """What it says to is-active and is-enabled, which end with a code of their own; `unknown` where it says nothing."""
    try:
        return _run(of_system, question, unit).stdout.strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def _run(of_system: bool, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(of_system, *words), capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL,
                          env=environment())
