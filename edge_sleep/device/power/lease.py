"""Power settings on loan (system/loan.py): checked all together, then changed one by one, and put back on every way out."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.device.power.actuator import Actuator, Machine, PowerError
from edge_sleep.device.power.direct import GpuCap, JetsonClocks, NvpModel
from edge_sleep.device.power.jtop import JtopClocks, JtopFan, JtopMode
from edge_sleep.system import intent, loan
from edge_sleep.system.intent import Change

# The order matters: a mode sets the clocks that a cap then lowers, and jetson_clocks hold what both allow.
# Of two ways the first that is open is taken: fewer parts.
WAYS: tuple[type[Actuator], ...] = (NvpModel, JtopMode, GpuCap, JtopFan, JetsonClocks, JtopClocks)
# What a value of each setting is; anything else in the intent is damage.
_TYPES: dict[str, type] = {"mode": str, "gpu_max_hertz": int, "fan_profile": dict, "jetson_clocks": str}


class Power(loan.Loan):
    """Without a setting asked for it does nothing at all."""

    event = "power"

    def __init__(self, asked: config.Power, path: Path, report: loan.Report = lambda event, **facts: None,
                 machine: Machine | None = None):
        """path: of the intent."""
        self.asked = asked
        self.actuators = _actuators(machine or Machine(), path.parent)
        super().__init__(path, _finder(self.actuators), report)

    def check(self) -> list[tuple[Actuator, Any, str]]:
        """(actuator, what is asked of it, why this way) of every setting asked for; reads only. Raises PowerError with every
        setting that cannot be made."""
        chosen, problems = [], []
        for setting in dict.fromkeys(way.setting for way in WAYS):
            if asked := getattr(self.asked, setting):
                try:
                    actuator, reason = self._choose(setting, asked)
                    actuator.wanted(asked)
                    chosen.append((actuator, asked, reason))
                except PowerError as error:
                    problems.append(error)
        if problems:
            raise type(problems[0])("\n".join(error.message for error in problems), problems[0].do)
        if chosen:
            self._nothing_left_over()
        return chosen

    def take(self) -> None:
        for actuator, asked, reason in self.check():
            if (refused := self.lend(actuator, actuator.wanted(asked), reason)) is not None:
                raise PowerError(f"power.{actuator.setting} {asked}: the board did not take it and is at {refused.now} "
                                 f"({refused.said})", f"leave power.{actuator.setting} out, or set it by hand")

    def _choose(self, setting: str, asked: Any) -> tuple[Actuator, str]:
        closed: list[str] = []
        for actuator in self.actuators:
            if actuator.setting == setting:
                if (why := actuator.impossible()) is None:
                    return actuator, "; ".join([f"by {actuator.way}", *closed])
                closed.append(f"not by {actuator.by}: {why}")
        raise PowerError(f"power.{setting} {asked}: {'; '.join(closed)}", f"leave power.{setting} out, or open one of these ways")

    def _nothing_left_over(self) -> None:
        """An intent that is there now could not be carried out; a change on top of it would lose what was before."""
        try:
            left = intent.read(self.path, known)
        except (OSError, ValueError) as error:
            raise PowerError(f"{self.path} cannot be read: {error}", "move it away and look at the board's power mode") from error
        if left:
            raise PowerError("an earlier night's " + ", ".join(f"power.{one.setting} ({one.before})" for one in left)
                             + " could not be put back yet, and nothing is changed on top of that",
                             f"put it back by hand and remove {self.path}, or leave the section power out")


def restore_left_over(path: Path, machine: Machine | None = None) -> list[dict[str, Any]]:
    """Put back what a night changed that was killed, or whose board lost power. Returns what was done, for the next log."""
    return loan.put_back(path, _finder(_actuators(machine or Machine(), path.parent)), known,
                         "what an earlier night changed is not known; `nvpmodel -q` says the power mode")


def known(change: Change) -> bool:
    kind = _TYPES.get(change.setting)
    return kind is not None and change.by in {way.by for way in WAYS} and type(change.before) is kind \
        and type(change.during) is kind


def _actuators(machine: Machine, folder: Path) -> list[Actuator]:
    return [way(machine, folder) for way in WAYS]


def _finder(actuators: list[Actuator]) -> loan.Find:
    return lambda change: next(one for one in actuators if (one.setting, one.by) == (change.setting, change.by))
