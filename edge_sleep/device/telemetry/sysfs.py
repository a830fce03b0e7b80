"""A board's sensors read from the kernel's own files: no daemon, no root, no extra package; also in a container.

Thermal zones, INA3221 and INA238 power monitors, the GPU's devfreq, throttle alerts and over-current counters, where this
machine has them. hwmon numbers change between boots: everything is found by name.
"""
from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_sleep.device import memory
from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.errors import DeviceError

SYS = Path("/sys")
# A monitor whose rail is the board's whole input; where a board has none of them, its rails add up to it (AGX Orin).
TOTALS = ("VIN", "POM_5V_IN", "VDD_IN")
_MONITORS = ("ina3221", "ina238")
_UNUSED = ("NC", "sum of shunt voltages")              # INA3221 channels that measure no rail
_GATED = -256.0                                        # what some kernels say instead of EAGAIN
POSSIBLE = (-40.0, 150.0)                             # Celsius; outside, a sensor is broken


class Sysfs:
    """The files of one machine. `read` takes about a millisecond on a board and raises nothing for a sensor that fails."""

    name = "sysfs"

    def __init__(self, root: Path = SYS, meminfo: Path = memory.MEMINFO, monotonic: Callable[[], float] = time.monotonic):
        self.root, self.meminfo, self.monotonic = root, meminfo, monotonic

    def available(self) -> str | None:
        """Why there is nothing here to read; None where there is a thermal zone."""
        return None if any(self._zones()) else f"{self.root} has no thermal zone"

    def read(self) -> Reading:
        """This moment; what could not be read is in `lost`."""
        lost: list[Lost] = []
        zones, gated = self._temperatures(lost)
        rails, watts, watts_of = self._power(lost)
        load, hertz = self._gpu(lost)
        return Reading(self.monotonic(), self.name, zones, gated, rails, watts, watts_of, load, hertz,
                       memory_available(self.meminfo, lost),
                       throttling=throttling(self.root), over_current=over_current(self.root), lost=tuple(lost))

    def close(self) -> None:
        """Nothing is held open."""

    def _zones(self) -> Iterator[Path]:
        yield from sorted((self.root / "devices/virtual/thermal").glob("thermal_zone*"))

    def _temperatures(self, lost: list[Lost]) -> tuple[dict[str, float], tuple[str, ...]]:
        zones: dict[str, float] = {}
        gated = []
        for folder in self._zones():
            name = (_text(folder / "type") or folder.name).casefold().removesuffix("-thermal")
            try:
                celsius = _celsius(folder / "temp")
            except (OSError, ValueError) as error:
                lost.append(Lost("zone", name, _why(error)))
                continue
            if celsius is None:
                gated.append(name)
            elif possible(name, celsius, lost):
                # Two zones of one name (some x86 machines): the hotter one counts.
                zones[name] = max(celsius, zones.get(name, celsius))
        return zones, tuple(gated)

    def _power(self, lost: list[Lost]) -> tuple[dict[str, float], float | None, str]:
        rails: dict[str, float] = {}
        named: list[str] = []
        for label, files in (rail for folder in self._monitors() for rail in _rails(folder)):
            named.append(label)
            try:
                rails[label] = math.prod(map(_number, files)) / 1e6
            except (OSError, ValueError) as error:
                lost.append(Lost("rail", label, _why(error)))
        total = next((name for name in TOTALS if name in named), None)
        if total is not None:
            # Never the sum of the others where this one fails: 21 W would read as 2.8.
            return rails, rails.get(total), total
        whole = bool(named) and len(rails) == len(named)
        return rails, sum(rails.values()) if whole else None, f"sum of {len(named)} rails" if named else ""

    def _monitors(self) -> Iterator[Path]:
        for folder in sorted((self.root / "bus/i2c/devices").glob("*/hwmon/hwmon*")):
            if _text(folder / "name") in _MONITORS:
                yield folder

    def _gpu(self, lost: list[Lost]) -> tuple[float | None, int | None]:
        for node in sorted((self.root / "class/devfreq").glob("*gpu*")):
            device = node.resolve().parent.parent
            try:
                return _number(device / "load") / 1000, int(_number(node / "cur_freq"))
            except (OSError, ValueError) as error:
                lost.append(Lost("gpu", node.name, _why(error)))
        return None, None


def possible(zone: str, celsius: float, lost: list[Lost]) -> bool:
    """Whether a zone can have this temperature; one that cannot is lost."""
    if POSSIBLE[0] <= celsius <= POSSIBLE[1]:
        return True
    lost.append(Lost("zone", zone, f"{celsius:g} degrees are not possible"))
    return False


def memory_available(meminfo: Path, lost: list[Lost]) -> int | None:
    """MemAvailable in bytes, or less where a cgroup is tighter."""
    try:
        return memory.available_bytes(meminfo)
    except DeviceError as error:
        lost.append(Lost("memory", "MemAvailable", str(error)))
        return None


def throttling(root: Path = SYS) -> tuple[str, ...]:
    """What the kernel slows for heat right now."""
    alerts = []
    for folder in sorted((root / "class/thermal").glob("cooling_device*")):
        name = _text(folder / "type") or ""
        if name.endswith("-throttle-alert") and (_text(folder / "cur_state") or "0") != "0":
            alerts.append(name.removesuffix("-throttle-alert"))
    return tuple(alerts)


def over_current(root: Path = SYS) -> dict[str, int]:
    """Over-current events since boot, by counter; many are harmless (oc3 under MAXN_SUPER), so their growth is what counts."""
    counts = {}
    for folder in (root / "class/hwmon").glob("hwmon*"):
        if _text(folder / "name") != "soctherm_oc":
            continue
        for file in sorted(folder.glob("oc*_event_cnt")):
            count = _text(file)
            if count is not None and count.isdecimal():
                counts[file.name.removesuffix("_event_cnt")] = int(count)
    return counts


def _rails(folder: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """(label, files whose product is the rail's microwatts): microwatts themselves, or millivolts and milliamperes."""
    if _text(folder / "name") == "ina238":
        yield "VIN", (folder / "power1_input",)
        return
    for file in sorted(folder.glob("in*_label")):
        channel, label = file.name.removeprefix("in").removesuffix("_label"), _text(file)
        if label and label not in _UNUSED:
            yield label, (folder / f"in{channel}_input", folder / f"curr{channel}_input")


def _celsius(file: Path) -> float | None:
    """Degrees; None for a block that is powered off. EAGAIN comes now and then under load too: asked twice."""
    for attempt in range(2):
        try:
            celsius = _number(file) / 1000
            return None if celsius == _GATED else celsius
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            if attempt:
                return None
    return None


def _number(file: Path) -> float:
    return float(int(file.read_text()))


def _text(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not a number"
