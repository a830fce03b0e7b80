"""Edge and workers killed at random instants: the night is promoted all the same, and its adapter is the one that no kill would change."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.long
def test_killed_at_random_instants(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.thor.kills", str(tmp_path), "20", "1"], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["rounds"]) == 20 and told["killed"] > 50
