"""A systemd unit that is stopped for the night and started after it."""
from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_sleep.errors import DeviceError, UsageError
from edge_sleep.system import commands, systemctl
from edge_sleep.system.loan import Gone, Item

ACTIVE, STOPPING, INACTIVE = "active", "stopping", "inactive"
_STATES = {"active": ACTIVE, "activating": ACTIVE, "reloading": ACTIVE, "refreshing": ACTIVE, "deactivating": STOPPING,
           "inactive": INACTIVE, "failed": INACTIVE, "maintenance": INACTIVE}
_WAYS = {"units": "systemctl", "user_units": "systemctl --user"}        # by setting; the way is what the intent calls it
_KINDS = r"\.(service|socket|target|timer|path|mount|automount|swap|slice|scope|device)$"
# systemd gives a service 90 s to end before it kills it. A start is not waited for longer: systemd goes on with it.
_STOP_SECONDS, _START_SECONDS, _ASK_SECONDS = 100.0, 20.0, 20.0


class Unit(Item):
    """setting: the unit's full name. by: of the system, or of this user."""

    def __init__(self, name: str, by: str, guard: Path):
        """guard: locked while a systemctl is at work, which may outlive the night that began it."""
        self.setting, self.by, self.guard = full_name(name), by, guard

    @property
    def of_system(self) -> bool:
        return self.by == "systemctl"

    def read(self) -> str:
        """ACTIVE, STOPPING or INACTIVE. Raises DeviceError where systemd does not answer, Gone where there is no such unit."""
        shown = self._show()
        if shown["LoadState"] == "not-found":
            raise Gone(f"there is no unit {self.setting}")
        return _STATES.get(shown["ActiveState"], shown["ActiveState"])

    def set(self, value: str) -> str:
        verb, seconds = ("start", _START_SECONDS) if value == ACTIVE else ("stop", _STOP_SECONDS)
        try:
            return self._run(seconds, verb, self.setting)
        except DeviceError as error:       # how it is now tells more than how long that took
            return error.message

    def ours(self, now: str, during: str) -> bool:
        return now in (STOPPING, INACTIVE)

    def dependents(self) -> list[str]:
        """Units that run and that stopping this one stops as well; nothing would start those again. Targets run nothing."""
        shown = self._show()
        names = sorted({name for key in ("RequiredBy", "BoundBy", "ConsistsOf") for name in shown.get(key, "").split()})
        return [name for name in names if not name.endswith(".target")
                and Unit(name, self.by, self.guard)._show()["ActiveState"] in ("active", "activating", "reloading")]

    def _show(self) -> dict[str, str]:
        said = self._run(_ASK_SECONDS, "show", "--property=LoadState,ActiveState,RequiredBy,BoundBy,ConsistsOf", self.setting)
        shown = dict(line.split("=", 1) for line in said.splitlines() if re.match(r"[A-Za-z]+=", line))
        if not {"LoadState", "ActiveState"} <= shown.keys():
            raise DeviceError(f"{self.by} does not say how {self.setting} is: {commands.last_line(said)}",
                              "run it where systemd does, or leave it out of the section neighbours")
        return shown

    def _run(self, seconds: float, *words: str) -> str:
        return commands.run(systemctl.command(self.of_system, "--no-ask-password", "--no-pager", *words), self.guard, seconds,
                            systemctl.environment() | {"LC_ALL": "C"})


def full_name(name: str) -> str:
    return name if re.search(_KINDS, name) else f"{name}.service"


def named(asked: Callable[[str], tuple[str, ...]], guard: Path) -> list[Unit]:
    """asked: the names under `units` and under `user_units`."""
    return [Unit(name, by, guard) for setting, by in _WAYS.items() for name in dict.fromkeys(map(full_name, asked(setting)))]


def is_way(by: str) -> bool:
    return by in _WAYS.values()


def check(units: list[Unit]) -> None:
    """Reads only. Raises UsageError with every unit that cannot be lent: not there, the night's own, or one that others need;
    DeviceError where systemd does not answer."""
    problems = []
    for unit in units:
        try:
            state = unit.read()
        except Gone as error:
            problems.append(error.message)
            continue
        if unit.setting in _own():
            problems.append(f"{unit.setting} is the unit that this night runs in")
        elif state == ACTIVE:
            also = set(unit.dependents()) - {other.setting for other in units if other.by == unit.by}
            problems += [f"stopping {unit.setting} would stop {name} as well" for name in sorted(also)]
    if problems:
        raise UsageError("neighbours: " + "; ".join(problems),
                         "name units that there are (`systemctl list-units`), before each those that need it")


def _own() -> set[str]:
    """Units that this process is part of."""
    with suppress(OSError):
        paths = [line.rpartition(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines()]
        return {part for path in paths for part in path.split("/")}
    return set()
