"""A machine with units of its own, and what a night needs of it."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_sleep import config
from edge_sleep.device.neighbours.lease import Neighbours, restore_left_over
from tests.fake_systemd import Units


@dataclass
class Machine:
    units: Units
    intent: Path
    told: list[dict[str, Any]] = field(default_factory=list)

    def report(self, event: str, **facts: Any) -> None:
        assert event == "neighbour"
        self.told.append(facts)

    def neighbours(self, **asked: Any) -> Neighbours:
        return Neighbours(config.Neighbours(**asked), self.intent, self.report)

    def next_start(self) -> list[tuple[str, str]]:
        return [(facts["setting"], facts["state"]) for facts in restore_left_over(self.intent)]

    def states(self) -> list[tuple[str, str]]:
        return [(facts["setting"], facts["state"]) for facts in self.told]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    units = Units(tmp_path / "units")
    for name, value in units.on_path(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "state").mkdir()
    (tmp_path / "units/user").mkdir()
    yield Machine(units, tmp_path / "state/neighbours-intent.json")
    Units(units.root / "user").end()
    (units.root / "user").rename(tmp_path / "over")
    units.end()
