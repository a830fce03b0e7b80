"""One setting of the board and one way to change it; and how it is said that it cannot be."""
from __future__ import annotations

import os
import sys
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sleep.device.telemetry.jtop import SOCKET
from edge_sleep.device.telemetry.sysfs import SYS
from edge_sleep.errors import DeviceError, Exit
from edge_sleep.system import commands
from edge_sleep.system.loan import Item


class PowerError(DeviceError):
    """A setting that cannot be made tonight. What was changed before it is put back."""


class UnknownName(PowerError):
    """The board has nothing of that name; the message lists what it has."""

    exit_code = Exit.USAGE


@dataclass(frozen=True)
class Machine:
    """Where a board's settings are; tests put their own in its place."""

    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    nvpmodel: str = "nvpmodel"
    jetson_clocks: str = "jetson_clocks"
    sys_root: Path = SYS
    socket: Path = SOCKET
    python: str = sys.executable
    seconds: float = commands.SECONDS                  # one program may take, before it is killed


class Actuator(Item):
    """setting: its key in the section `power`. by: the way, as the intent names it. way: the same for people."""

    way: str

    def __init__(self, machine: Machine, folder: Path):
        """folder: of the intent; what has to outlive this process lies beside it."""
        self.machine, self.folder = machine, folder

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        try:
            return commands.run(command, self.folder / "power.lock", self.machine.seconds, environment)
        except DeviceError as error:
            raise PowerError(error.message, error.do) from error

    @abstractmethod
    def wanted(self, asked: Any) -> Any:
        """What `asked` comes to on this board as it is now. Raises PowerError with what the board offers; changes nothing."""
