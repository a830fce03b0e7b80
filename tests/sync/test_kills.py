"""Killed with -9 at many instants, a push or pull is ended by the next one: each blob once, nothing half visible."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sleep.sync import outbox
from tests.sync.homes import files

ROOT = Path(__file__).parent.parent.parent
QUICK, ALL = 12, 10**9


def campaign(what: str, folder: Path, instants: int) -> dict:
    done = subprocess.run([sys.executable, "-m", "tests.sync.kills", what, str(folder), str(instants)], cwd=ROOT, capture_output=True,
                          text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("what", ["push", "pull"])
def test_killed_at_many_instants(tmp_path: Path, what: str) -> None:
    assert campaign(what, tmp_path, QUICK)["events"] > 100


@pytest.mark.long
@pytest.mark.parametrize("what", ["push", "pull"])
def test_killed_at_every_instant(tmp_path: Path, what: str) -> None:
    campaign(what, tmp_path, ALL)


def test_the_command_itself_is_killed_in_the_middle_of_a_blob(two) -> None:
    """A transfer of a second, cut four times: it goes on where it was, and ends."""
    two.orin.night(1)
    outbox.queue_current(two.orin.home, two.clock)
    command = [sys.executable, "-m", "edge_sleep", "sync", "push", "--home", str(two.orin.home.root), "--set",
               f"sync.remote=folder:{two.remote}"]
    for _ in range(2):
        child = subprocess.Popen([*command, "--set", "sync.bandwidth_bytes=1024"], cwd=ROOT, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not list(two.remote.glob(".partial/*")) and time.monotonic() < until and child.poll() is None:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert not (two.remote / "machines").exists()              # nothing is visible yet
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(files(two.remote / "blobs")) == 4 and not list(two.remote.glob(".partial/*"))
    assert len(two.thor.pull().fetched) == 1
