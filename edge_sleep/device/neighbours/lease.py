"""Neighbours on loan (system/loan.py): stopped before a night plans with the memory they leave, back on every way out."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.device.neighbours import ollama, unit
from edge_sleep.errors import DeviceError, Exit
from edge_sleep.system import intent, loan
from edge_sleep.system.intent import Change


class NeighbourError(DeviceError):
    """One that was to be stopped and was not. Those stopped before it are brought back."""

    exit_code = Exit.DEVICE


class Neighbours(loan.Loan):
    """Without one asked for it does nothing at all. It is taken by `take`, inside its `with`: how much of a night needs it is
    for the night to say."""

    event = "neighbour"

    def __init__(self, asked: config.Neighbours, path: Path, report: loan.Report = lambda event, **facts: None):
        """path: of the intent."""
        self.asked = asked
        self.units = unit.named(lambda setting: getattr(asked, setting), _guard(path))
        super().__init__(path, lambda change: _find(change, path), report)

    def check(self) -> None:
        """Reads only. Raises UsageError for units that cannot be lent, DeviceError where systemd does not answer."""
        if self.units:
            unit.check(self.units)

    def __enter__(self) -> Neighbours:
        return self

    def take(self) -> None:
        """Stop what runs: the models first, since one of the units may be Ollama's. Raises NeighbourError for what stays."""
        with suppress(OSError, ValueError):            # what could not be brought back yet stays noted
            self._lent = intent.read(self.path, known)
        for model in ollama.loaded_now(self.asked.ollama) if self.asked.ollama else []:
            self._stop(model, model.loaded, ollama.UNLOADED, f"unloaded from {model.url}")
        for one in self.units:
            if one.read() == unit.ACTIVE:
                self._stop(one, unit.ACTIVE, unit.INACTIVE, f"stopped by {one.by}")

    def _stop(self, item: ollama.Model | unit.Unit, before: Any, wanted: Any, reason: str) -> None:
        if (refused := self.lend(item, wanted, reason, before)) is not None:
            raise NeighbourError(f"neighbours: {item.setting} is not stopped, it is {refused.now} ({refused.said})",
                                 "docs/rhythm.md says what a unit of the system asks for; or leave it out")


def restore_left_over(path: Path) -> list[dict[str, Any]]:
    """Bring back what a night stopped that was killed, or whose board lost power. Returns what was done, for the next log."""
    return loan.put_back(path, lambda change: _find(change, path), known, "what an earlier night stopped is not known")


def left_over(path: Path) -> list[str]:
    """What is stopped, or still is: each with the words that bring it back by hand."""
    try:
        return [f"{one.setting} (`{one.by} start {one.setting}`)" if unit.is_way(one.by) else f"{one.setting} in Ollama"
                for one in intent.read(path, known)]
    except (OSError, ValueError) as error:
        return [f"what {path} names: {error}"]


def known(change: Change) -> bool:
    if unit.is_way(change.by):
        return change.before == unit.ACTIVE and change.during == unit.INACTIVE
    return ollama.is_way(change.by) and isinstance(change.before, dict) and change.before.get("loaded") is True \
        and change.during == ollama.UNLOADED


def _find(change: Change, path: Path) -> loan.Item:
    if unit.is_way(change.by):
        return unit.Unit(change.setting, change.by, _guard(path))
    return ollama.Model(change.by.removeprefix(ollama.BY), change.setting, change.before)


def _guard(path: Path) -> Path:
    return path.with_name("neighbours.lock")
