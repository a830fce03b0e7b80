"""Two machines of one owner that share a folder: `orin` raises the companion, `thor` only looks on."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from edge_sleep.model.base import Base
from edge_sleep.system.clock import ManualClock
from tests.sync.homes import Machine, machine, make_base, pair


class Pair(NamedTuple):
    orin: Machine
    thor: Machine
    remote: Path
    clock: ManualClock


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return make_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def two(tiny_base: Base, tmp_path: Path) -> Pair:
    clock, remote = ManualClock(), tmp_path / "remote"
    orin, thor = (machine(tmp_path / name, tiny_base, remote, name, clock) for name in ("orin", "thor"))
    pair(orin, thor)
    return Pair(orin, thor, remote, clock)
