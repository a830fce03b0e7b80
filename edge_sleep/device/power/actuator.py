"""One setting of the board and one way to change it; and how it is said that it cannot be."""
from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sleep.device.power import commands
from edge_sleep.device.telemetry.jtop import SOCKET
from edge_sleep.device.telemetry.sysfs import SYS
from edge_sleep.errors import DeviceError, Exit


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


class Actuator(ABC):
    """setting: its key in the section `power`. by: the way, as the intent names it. way: the same for people."""

    setting: str
    by: str
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
    def impossible(self) -> str | None:
        """Why this way is closed here; None where it is open."""

    @abstractmethod
    def read(self) -> Any:
        """What is set now, as JSON can hold it. Raises PowerError."""

    @abstractmethod
    def wanted(self, asked: Any) -> Any:
        """What `asked` comes to on this board as it is now. Raises PowerError with what the board offers; changes nothing."""

    @abstractmethod
    def set(self, value: Any) -> str:
        """Try to; returns what was said about it. Only reading again tells whether it took. Raises PowerError."""

    def took(self, now: Any, wanted: Any) -> bool:
        return now == wanted

    def ours(self, now: Any, during: Any) -> bool:
        """Whether `now` is what we left, so that putting it back overrules nobody."""
        return self.took(now, during)
