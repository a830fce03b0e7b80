"""A systemctl that starts and stops real processes, for units that are folders; and the machine that has them.

    python fake_systemd.py show|start|stop UNIT       (what the wrapper on PATH calls; FAKE_UNITS names the folders)
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def _alive(pid: int) -> bool:
    """Running, and no zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Units:
    def __init__(self, root: Path):
        self.root = root

    def make(self, name: str, running: bool = True, needs: str = "") -> None:
        """needs: another unit that this one requires."""
        (self.root / name).mkdir(parents=True)
        if needs:
            (self.root / needs / "required_by").write_text(name)
        if running:
            self.start(name)

    def pid(self, name: str) -> int | None:
        file = self.root / name / "pid"
        pid = int(file.read_text() or 0) if file.exists() else 0
        return pid if pid and _alive(pid) else None

    def history(self, name: str) -> list[str]:
        file = self.root / name / "history"
        return file.read_text().split() if file.exists() else []

    def deny(self, verb: str, name: str, denied: bool = True) -> None:
        (self.root / name / f"no-{verb}").touch() if denied else (self.root / name / f"no-{verb}").unlink()

    def start(self, name: str) -> None:
        if self.pid(name) is None:
            process = subprocess.Popen(["sleep", "3600"], start_new_session=True, close_fds=True, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            beside = self.root / name / "pid.new"
            beside.write_text(str(process.pid))
            beside.replace(self.root / name / "pid")

    def stop(self, name: str) -> None:
        if (pid := self.pid(name)) is not None:
            os.kill(pid, signal.SIGTERM)
            while _alive(pid):
                time.sleep(0.005)

    def end(self) -> None:
        """Stop them all, whatever the test left."""
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            self.stop(folder.name)

    def on_path(self, folder: Path) -> dict[str, str]:
        """The environment in which `systemctl` is this one."""
        folder.mkdir(parents=True, exist_ok=True)
        wrapper = folder / "systemctl"
        wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E -s {Path(__file__).absolute()} "$@"\n')
        wrapper.chmod(0o755)
        self.root.mkdir(parents=True, exist_ok=True)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FAKE_UNITS": str(self.root)}


def main() -> int:
    units = Units(Path(os.environ["FAKE_UNITS"]) / ("user" if "--user" in sys.argv else ""))
    verb, name = [word for word in sys.argv[1:] if not word.startswith("--")]
    folder = units.root / name
    time.sleep(float(os.environ.get("FAKE_SYSTEMCTL_SECONDS", "0")) if verb != "show" else 0)
    if verb == "show":
        active = "active" if units.pid(name) else "inactive"
        needed = (folder / "required_by").read_text() if (folder / "required_by").exists() else ""
        print(f"RequiredBy={needed}\nBoundBy=\nConsistsOf=\nLoadState={'loaded' if folder.is_dir() else 'not-found'}\n"
              f"ActiveState={active}")
        return 0
    if (folder / f"no-{verb}").exists():
        print(f"Failed to {verb} {name}: Access denied", file=sys.stderr)
        return 1
    with open(folder / "history", "a") as history:
        history.write(f"{verb}\n")
    units.start(name) if verb == "start" else units.stop(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
