"""Two companions' homes and workers on one machine, paired, with a folder between them."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.config import load
from edge_sleep.seal.keys import Keys
from edge_sleep.system.children import environment
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger
from edge_sleep.thor.mailbox import Mailbox
from edge_sleep.thor.worker import Worker
from tests import micro

SMALL = 500 << 20                                  # too little for one example of the micro-night, enough for judging it
PATIENCE = 600.0                                   # seconds that a process may take on a busy machine


@dataclass(frozen=True)
class Place:
    """A folder with a model, transcripts, a mailbox and as many homes as are asked for."""

    root: Path
    model: Path

    mailbox = property(lambda self: self.root / "mailbox")
    sessions = property(lambda self: self.root / "sessions")

    def home(self, name: str) -> Home:
        return Home(self.root / name).make()

    def pair(self, *names: str) -> None:
        """Every two of these homes trust each other."""
        keys = {name: Keys.open(self.home(name).keys, name) for name in names}
        for name, own in keys.items():
            for other in names:
                if other != name:
                    own.add(keys[other].own)

    def night(self, name: str, *sets: str, memory: int = SMALL, **request: Any) -> dict:
        """One night of an edge, in this process."""
        return micro.night(self.root / name, self.model, self.sessions, "companion.embedding=full",
                           f"thor.mailbox=folder:{self.mailbox}", f"budget.memory_bytes={memory}", *sets, **request)

    def settings(self, *sets: str) -> tuple[str, ...]:
        """Of a worker."""
        return (f"thor.mailbox=folder:{self.mailbox}", f"thor.bases={json.dumps([str(self.model)])}", "thor.lease=20s",
                "train.threads=1", "train.state_every=0s", "thermal.source=none", *sets)

    def work(self, name: str, *sets: str, once: bool = True, most: int | None = None) -> tuple[int, list[str]]:
        """What a worker does that is in this process: (jobs done, what it said)."""
        home, said = self.home(name), []
        config = load(None, self.settings(*sets))
        worker = Worker(home, config, lambda: Mailbox.open(home, config, Clock()), said.append)
        return worker.run(once, most), said

    def worker(self, name: str, *sets: str, options: tuple[str, ...] = ("--max-jobs", "1")) -> subprocess.Popen:
        """A worker, in a process of its own."""
        given = self.settings(*sets)
        log = open(self.root / f"{name}.log", "ab")  # noqa: SIM115 - the process's own
        return subprocess.Popen([sys.executable, "-m", "edge_sleep", "worker", *options, "--home", str(self.root / name),
                                 *(part for one in given for part in ("--set", one))],
                                stdout=log, stderr=log, env=environment() | {"OMP_NUM_THREADS": "1"}, start_new_session=True)

    def jobs(self, role: str, name: str) -> list[dict]:
        return list(ledger.records(self.home(name), role))

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    def files(self, job: str) -> dict[str, bytes]:
        folder = self.mailbox / "jobs" / job
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())} if folder.is_dir() else {}


def make(root: Path, model: Path | None = None) -> Place:
    place = Place(root, model or micro.make_model(root / "model"))
    place.mailbox.mkdir(parents=True)
    micro.write_talk(place.sessions)
    return place


def until(true, seconds: float = PATIENCE, what: str = "") -> Any:
    """What `true` says, once it says something; fails after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def kill(child: subprocess.Popen) -> None:
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
    child.wait()


def tensors(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")
