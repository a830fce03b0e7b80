"""The kernels' own sources, compiled by g++ with a GPU that is played on the CPU (kernels/host.h)."""
from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from edge_sleep.ops import compiled

FLAGS = ["-x", "c++", "-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-function", "-U_FORTIFY_SOURCE"]            # fortified, longjmp refuses to change stacks


@cache
def _library(kernel: str) -> Any:
    made = Path(mkdtemp(prefix="edge-sleep-played-")) / f"{kernel}.so"
    try:
        subprocess.run(["g++", *FLAGS, "-o", str(made), str(compiled.sources() / compiled.KERNELS[kernel][0])], check=True)
        return compiled.opened(kernel, made)           # mapped: the file is not needed any more
    finally:
        shutil.rmtree(made.parent)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled kernels answer for tensors on the CPU."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels' sources with")
    monkeypatch.setattr(compiled, "library", lambda kernel, device: _library(kernel))
