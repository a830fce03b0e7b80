"""Packages that a few tests need and no user does, fetched into a folder of their own: in CI, or where EDGE_SLEEP_FETCH=1 asks for it."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def fetched(folder: Path, *requirements: str) -> Path:
    """The folder with them, without what they depend on. Skips, saying why, where nobody asked or they cannot be had."""
    if not (os.environ.get("CI") or os.environ.get("EDGE_SLEEP_FETCH")):
        pytest.skip(f"EDGE_SLEEP_FETCH=1 lets the tests fetch {', '.join(requirements)}")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "1",
                           "--target", str(folder), *requirements], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"{', '.join(requirements)} cannot be fetched here: {(done.stderr.splitlines() or ['pip says nothing'])[-1]}")
    return folder
