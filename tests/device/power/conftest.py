"""A board of files whose nvpmodel and jetson_clocks are the stubs, and what a night needs of it."""
from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from edge_sleep.benchmarks.fake_board import tree

from edge_sleep import config
from edge_sleep.device.power.actuator import Machine
from edge_sleep.device.power.lease import Power, restore_left_over

STUBS = Path(tree.__file__).parent / "stubs"


@dataclass
class Bench:
    board: tree.Board
    intent: Path
    machine: Machine
    told: list[dict[str, Any]] = field(default_factory=list)

    def report(self, event: str, **facts: Any) -> None:
        assert event == "power"
        self.told.append(facts)

    def power(self, **asked: Any) -> Power:
        return Power(config.Power(**asked), self.intent, self.report, self.machine)

    def next_start(self) -> list[dict[str, Any]]:
        return restore_left_over(self.intent, self.machine)

    def states(self) -> list[tuple[str, str]]:
        return [(facts["setting"], facts["state"]) for facts in self.told]

    @property
    def cap(self) -> int:
        return int(self.board.gpu_max_freq.read_text())

    @property
    def clocks_held(self) -> bool:
        return self.board.gpu_max_freq.with_name("min_freq").read_text() == self.board.gpu_max_freq.read_text()

    @property
    def history(self) -> list[str]:
        """Every mode that the stub of nvpmodel has set, by number."""
        file = self.board.root / "nvpmodel/history"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    board = tree.Board(tmp_path / "board", "orin-nano-8gb")
    monkeypatch.setenv("PATH", f"{STUBS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_BOARD", str(board.root))
    (tmp_path / "state").mkdir()
    return Bench(board, tmp_path / "state/power-intent.json",
                 Machine(root=True, sys_root=board.sys, socket=tmp_path / "no-service.sock", seconds=10))
