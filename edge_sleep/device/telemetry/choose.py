"""Which source a board's sensors are read from, and why that one."""
from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge_sleep.device.telemetry.jtop import Jtop
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.replay import Replay
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.errors import DeviceError


class Source(Protocol):
    """Where readings come from."""

    name: str

    def available(self) -> str | None:
        """Why there is nothing to read here; None where there is."""

    def read(self) -> Reading:
        """This moment. Returns at once, raises nothing; what it could not read is in the reading's `lost`."""

    def close(self) -> None:
        """End what `read` needed."""


def choose(asked: str = "auto", total_rail: str | None = None, sysfs: Sysfs | None = None,
           jtop: Jtop | None = None) -> tuple[Source | None, str]:
    """(source, why this one); None where this machine shows nothing. The chosen one is open: close it.

    asked: auto, sysfs, jtop, none, or the file of a recorded night. Raises DeviceError where what was asked for by name cannot
    be read. auto takes the kernel's files where there are any: fewer parts between the sensor and the reader. total_rail: the
    rail that measures the whole board, as its profile has it.
    """
    if asked == "none":
        return None, "thermal.source is none: heat and power are not minded"
    sysfs = sysfs or Sysfs()
    jtop = jtop or Jtop(total_rail)
    if asked in ("sysfs", "jtop"):
        source: Source = sysfs if asked == "sysfs" else jtop
        if (why := source.available()) is not None:
            source.close()
            raise DeviceError(f"telemetry from {asked} was asked for: {why}", "thermal.source: auto takes what there is")
        return source, "asked for"
    if asked != "auto":
        return Replay(Path(asked).expanduser()), f"the recording {asked}"
    no_files = sysfs.available()
    if no_files is None:
        return sysfs, "the kernel's own files"
    no_service = jtop.available()
    if no_service is None:
        return jtop, f"{no_files}, the jtop service answers"
    jtop.close()
    return None, f"{no_files}; {no_service}"
