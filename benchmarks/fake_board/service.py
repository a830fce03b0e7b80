"""The real jtop service on a tree of files, started, broken and ended; and why it cannot run here, where it cannot."""
from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import metadata, util
from pathlib import Path

from edge_sleep.benchmarks.fake_board.tree import Board

from edge_sleep.system.lock import taken

SOCKET = Path("/run/jtop.sock")
_HERE = Path(__file__).parent
_START_SECONDS = 30.0
_TURN_SECONDS = 800.0
_TURN = Path(tempfile.gettempdir()) / "edge-sleep-fake-board.lock"


def impossible() -> str | None:
    """Why no service can be started on this machine; None where it can."""
    if os.geteuid() != 0:
        return "the jtop service on a board of files needs root"
    if util.find_spec("jtop") is None:
        return "jetson-stats is not installed: pip install 'edge_sleep[jetson]'"
    if _TURN.exists() and not _take_turn(0.0, keep=False):
        return None                                    # another board of files has it: starting will wait for its end
    if SOCKET.exists() and _served():
        return f"a jtop service runs here already ({SOCKET})"
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


def _take_turn(seconds: float, keep: bool = True) -> int | None:
    """The lock of the one service that this machine can have: its file descriptor, None where it was not free in time."""
    descriptor = os.open(_TURN, os.O_RDWR | os.O_CREAT, 0o600)
    free = taken(descriptor, seconds, 0.1)
    if not (free and keep):
        os.close(descriptor)
    return descriptor if free else None


def _served() -> bool:
    """Whether somebody answers at the socket; what a killed service left there is taken away."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(SOCKET))
        except ConnectionRefusedError:
            SOCKET.unlink(missing_ok=True)
            return False
    return True


class Service:
    """Context manager. `version`: what the service calls itself, where it shall not be what is installed."""

    def __init__(self, board: Board, version: str | None = None, python: str = sys.executable):
        self.board, self.version, self.python = board, version, python
        self.process: subprocess.Popen | None = None
        self.log = board.root / "service.log"
        self._turn: int | None = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def start(self) -> None:
        """Until a client can connect. Raises RuntimeError with the service's own words where it does not come up."""
        if self._turn is None and (turn := _take_turn(_TURN_SECONDS)) is not None:
            self._turn = turn
        environment = {name: value for name, value in os.environ.items() if name != "JTOP_TESTING"}
        if self.version is not None:
            environment["PYTHONPATH"] = str(self._other_version(self.version))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", str(_HERE / "service.sh"), str(self.board.root), str(_HERE / "stubs"), self.python], stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
        until = time.monotonic() + _START_SECONDS
        while "service ready" not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > until:
                self.end()
                raise RuntimeError(f"the jtop service did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def _other_version(self, version: str) -> Path:
        """The installed jetson-stats under another version number: a folder for PYTHONPATH."""
        place = self.board.root / "other-version"
        source = Path(str(util.find_spec("jtop").origin)).parent                       # type: ignore[union-attr]
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place / "jtop", ignore=shutil.ignore_patterns("__pycache__"))
        init = place / "jtop/__init__.py"
        init.write_text(init.read_text().replace(metadata.version("jetson-stats"), version))
        return place

    def signal(self, number: int) -> None:
        """To every process of the service: its main one alone leaves two that go on serving."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def end(self) -> None:
        """Nothing of it is left, whatever state it was in."""
        if self.process is None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                if number == signal.SIGTERM:
                    self.process.wait(3)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.process.wait()
        self.process = None
        SOCKET.unlink(missing_ok=True)
