"""A recorded night of readings, one JSON document a line, and its playback as a source of telemetry."""
from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.errors import DeviceError

_TUPLES = ("gated", "throttling")


def line(reading: Reading) -> str:
    """The reading as one line of JSON, its end included."""
    return json.dumps(asdict(reading), allow_nan=False) + "\n"


def parse(lines: Iterable[str]) -> list[Reading]:
    """Readings in the order of their time; a torn last line is left out.

    Raises ValueError with the number of a line that is none.
    """
    known = {entry.name for entry in fields(Reading)}
    found: list[Reading] = []
    rows = list(lines)
    for number, row in enumerate(rows, start=1):
        try:
            # Written by a later version: what this one does not know it leaves out.
            values: dict[str, Any] = {name: value for name, value in json.loads(row).items() if name in known}
            values["lost"] = tuple(Lost(*item) for item in values.get("lost", ()))
            values |= {name: tuple(values[name]) for name in _TUPLES if name in values}
            reading = Reading(**values)
            if not isinstance(reading.at, (int, float)):
                raise TypeError("no time")
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(rows) and not row.endswith("\n"):
                break
            raise ValueError(f"line {number}: {error}") from error
        found.append(reading)
    return sorted(found, key=lambda reading: reading.at)


class Replay:
    """A recording that passes as it was recorded, from the first `read` on; where it is over, nothing is known any more."""

    name = "replay"

    def __init__(self, file: Path, monotonic: Callable[[], float] = time.monotonic):
        """Raises DeviceError where `file` holds no readings."""
        self.file, self.monotonic = file, monotonic
        try:
            self.readings = parse(file.read_text(encoding="utf-8").splitlines(keepends=True))
        except (OSError, ValueError) as error:
            raise DeviceError(f"{file} is no recording of telemetry: {error}",
                              "name a telemetry.jsonl that a night has recorded") from error
        if not self.readings:
            raise DeviceError(f"{file} holds no reading", "name a telemetry.jsonl that a night has recorded")
        self._times = [reading.at - self.readings[0].at for reading in self.readings]
        self._began: float | None = None

    def available(self) -> str | None:
        return None

    def read(self) -> Reading:
        """The last reading recorded by this moment, with this moment's time."""
        now = self.monotonic()
        if self._began is None:
            self._began = now
        passed = now - self._began
        if passed > self._times[-1]:
            return Reading(now, self.name, lost=(Lost("telemetry", self.name, "the recording is over"),))
        return replace(self.readings[bisect_right(self._times, passed) - 1], at=now, source=self.name)

    def close(self) -> None:
        """Nothing is held open."""
