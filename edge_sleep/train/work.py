"""One training, as every process that takes part in it is told."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data.experience import Example
from edge_sleep.device.detect import Device
from edge_sleep.model.base import Base
from edge_sleep.train.planner import Plan


@dataclass(frozen=True)
class Work:
    """What each process needs to make the same model and the same batches; process 0 announces it."""

    base: Base
    device: Device
    config: Config
    examples: list[Example]
    parent: Path | None
    folder: Path
    plan: Plan
