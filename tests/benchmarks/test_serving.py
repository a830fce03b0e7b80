"""Ten thousand requests on the seedling while other adapters become current (benchmarks/serving.py)."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_no_error_no_wrong_stamp_and_flat_memory() -> None:
    done = subprocess.run([sys.executable, "-m", "edge_sleep.benchmarks.serving", "--requests", "10000"], capture_output=True, text=True)
    document = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and document["good"], document
    assert document["transcripts"] == 10_000 and document["promotions"] == 500 and document["swaps_in_the_server"] > 250
