"""Power settings on loan: checked all together, then changed one by one, read again, and put back in reverse order.

Before each change the intent is on the disk. Whatever ends the night, a signal or a power cut, what it changed is put back: by
the context manager, else by the next start (`restore_left_over`).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.device.power import intent
from edge_sleep.device.power.actuator import Actuator, Machine, PowerError
from edge_sleep.device.power.commands import last_line
from edge_sleep.device.power.direct import GpuCap, JetsonClocks, NvpModel
from edge_sleep.device.power.intent import Change
from edge_sleep.device.power.jtop import JtopClocks, JtopFan, JtopMode
from edge_sleep.errors import EdgeSleepError, StorageError

Report = Callable[..., None]                           # ("power", setting=, state=, …), as an EventLog takes it
# The order matters: a mode sets the clocks that a cap then lowers, and jetson_clocks hold what both allow.
# Of two ways the first that is open is taken: fewer parts.
WAYS: tuple[type[Actuator], ...] = (NvpModel, JtopMode, GpuCap, JtopFan, JetsonClocks, JtopClocks)


class Power:
    """Context manager; `changes` is what it did, for the record. Without a setting asked for it does nothing at all."""

    def __init__(self, asked: config.Power, path: Path, report: Report = lambda event, **facts: None,
                 machine: Machine | None = None):
        """path: of the intent."""
        self.asked, self.path, self.report = asked, path, report
        self.actuators = _actuators(machine or Machine(), path.parent)
        self.changes: list[dict[str, Any]] = []
        self._lent: list[Change] = []
        self._doubtful: Change | None = None           # being made: whatever is read then is our own doing

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

    def __enter__(self) -> Power:
        try:
            for actuator, asked, reason in self.check():
                self._change(actuator, asked, reason)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = self._give_back()
        if interrupted is not None and kind is None:
            raise interrupted

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
            left = intent.read(self.path)
        except (OSError, ValueError) as error:
            raise PowerError(f"{self.path} cannot be read: {error}", "move it away and look at the board's power mode") from error
        if left:
            raise PowerError("an earlier night's " + ", ".join(f"power.{one.setting} ({one.before})" for one in left)
                             + " could not be put back yet, and nothing is changed on top of that",
                             f"put it back by hand and remove {self.path}, or leave the section power out")

    def _change(self, actuator: Actuator, asked: Any, reason: str) -> None:
        before, wanted = actuator.read(), actuator.wanted(asked)
        if before == wanted:
            self._note(actuator.setting, "already", before=before, now=before, reason="nothing to change")
            return
        self._doubtful = change = Change(actuator.setting, actuator.by, before, wanted)
        self._lent.append(change)
        intent.write(self.path, self._lent)
        said = actuator.set(wanted)
        now = actuator.read()
        if not actuator.took(now, wanted):
            raise PowerError(f"power.{actuator.setting} {asked}: the board did not take it and is at {_text(now)} "
                             f"({last_line(said)})", f"leave power.{actuator.setting} out, or set it by hand")
        self._doubtful = None
        self._note(actuator.setting, "set", before=before, now=now, reason=reason)

    def _note(self, setting: str, state: str, **facts: Any) -> None:
        self.changes.append({"setting": setting, "state": state, **facts})
        self.report("power", setting=setting, state=state, **facts)

    def _give_back(self) -> KeyboardInterrupt | None:
        return _give_back(self.path, self._lent, self.actuators, self._note, self._doubtful)


def restore_left_over(path: Path, machine: Machine | None = None) -> list[dict[str, Any]]:
    """Put back what a night changed that was killed, or whose board lost power. Returns what was done, for the next log.

    Raises nothing: a night begins whether or not it can be put back; what cannot is named, and tried again at the next start.
    """
    told: list[dict[str, Any]] = []
    try:
        changes = intent.read(path)
    except ValueError as error:
        said = f"{path} is damaged ({error}): what an earlier night changed is not known; `nvpmodel -q` says the power mode"
        try:
            return [{"state": "damaged", "reason": f"{said}; kept as {intent.set_aside(path).name}"}]
        except (OSError, StorageError) as stuck:
            return [{"state": "damaged", "reason": f"{said}; it cannot be renamed: {stuck}"}]
    except OSError as error:
        return [{"state": "not restored", "reason": f"{path} cannot be read: {error.strerror}; tried again at the next start"}]

    def note(setting: str, state: str, **facts: Any) -> None:
        told.append({"setting": setting, "state": state, **facts})

    if changes and (interrupted := _give_back(path, changes, _actuators(machine or Machine(), path.parent), note)) is not None:
        raise interrupted
    return told


def _actuators(machine: Machine, folder: Path) -> list[Actuator]:
    return [way(machine, folder) for way in WAYS]


def _give_back(path: Path, changes: list[Change], actuators: Sequence[Actuator], note: Callable[..., None],
               doubtful: Change | None = None) -> KeyboardInterrupt | None:
    """Take each change back, the last first; what cannot be stays in `changes` and in the intent. Returns a Ctrl-C that came
    meanwhile: it must not leave the board as it is."""
    interrupted = None
    for change in reversed(list(changes)):
        for _ in range(2):
            try:
                done, state, facts = _restore(change, actuators, change is doubtful)
                if done:
                    changes.remove(change)
                with suppress(OSError, StorageError):  # a full disk keeps nothing from being put back
                    intent.write(path, changes)
                with suppress(OSError, StorageError):
                    note(change.setting, state, **facts)
                break
            except KeyboardInterrupt as error:
                interrupted = error
                if change not in changes:              # it is put back; the file says so with the next
                    break
    if interrupted is not None:
        with suppress(OSError, StorageError):
            intent.write(path, changes)
    return interrupted


def _restore(change: Change, actuators: Sequence[Actuator], sure: bool) -> tuple[bool, str, dict[str, Any]]:
    """(whether it is settled, how, facts). sure: what is set now is our own doing, whatever it is."""
    try:
        actuator = next(one for one in actuators if (one.setting, one.by) == (change.setting, change.by))
        if (why := actuator.impossible()) is not None:
            return False, *_failed(change, why)
        now = actuator.read()
        if now == change.before:
            return True, "restored", {"before": change.during, "now": now, "reason": "it was as before already"}
        if not sure and not actuator.ours(now, change.during):
            return True, "left", {"before": change.before, "now": now, "reason": "neither as before nor as the night set it "
                                  f"({_text(change.during)}): somebody else did"}
        said = actuator.set(change.before)
        after = actuator.read()
        if actuator.took(after, change.before):
            return True, "restored", {"before": now, "now": after, "reason": "as it was before the night"}
        return False, *_failed(change, f"it is still {_text(after)} ({last_line(said)})")
    except EdgeSleepError as error:
        return False, *_failed(change, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other settings are still put back
        return False, *_failed(change, f"{type(error).__name__}: {error}")


def _failed(change: Change, why: str) -> tuple[str, dict[str, Any]]:
    return "not restored", {"before": change.before, "reason": f"{why}; tried again at the next start"}


def _text(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items()) if isinstance(value, dict) else str(value)
