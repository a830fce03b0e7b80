"""A board's sensors through the jtop service: for a container that sees no sensors, or a board where it runs anyway.

Its client lives in a child process that can be killed (jtop_child.py). What it says is not believed as it stands: a sample counts
while the service's uptime advances, and a total that vanished is lost, never the sum of the other rails.
"""
from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_sleep.device import memory
from edge_sleep.device.telemetry import sysfs
from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.system import children

SOCKET = Path("/run/jtop.sock")
PACKAGE = "jetson-stats"
INTERVAL_SECONDS = 0.5
# The service may have been given another interval by its first client. From this on a pause for heat would come too late.
SLOWEST_SECONDS = 1.0
STALE_SECONDS = 2.0
CONNECT_SECONDS = 5.0
_RETRY_SECONDS = (1.0, 10.0)                           # first wait before another try, and the longest
_OFFLINE = -256.0                                      # how the client shows a sensor that did not answer


class Jtop:
    """The service of this machine. `read` returns at once and raises nothing; `close` ends the child, whatever it does."""

    name = "jtop"

    def __init__(self, total_rail: str | None = None, socket: Path = SOCKET, sys_root: Path = sysfs.SYS,
                 meminfo: Path = memory.MEMINFO, python: str = sys.executable, monotonic: Callable[[], float] = time.monotonic):
        """total_rail: the rail that measures the whole board, as its profile has it; where it is missing, the total is lost."""
        self.socket, self.sys_root, self.meminfo = socket, sys_root, meminfo
        self.python, self.monotonic = python, monotonic
        self._total = total_rail
        self._rails: set[str] = set()                  # every rail this service has shown
        self._child: subprocess.Popen | None = None
        self._torn = b""
        self._sample: dict[str, Any] | None = None
        self._advanced = self.monotonic()              # when the service's uptime last moved on, or the child was started
        self._failed = ("no reading yet", "")
        self._wait, self._again = _RETRY_SECONDS[0], 0.0

    def available(self) -> str | None:
        """Why the service cannot be read; None where a first sample came."""
        if (why := missing(self.socket)) is not None:
            return why
        reading = self.wait_for_a_sample(CONNECT_SECONDS)
        if self._sample is None:
            return str(reading.lost[0])
        if self._sample["interval"] > SLOWEST_SECONDS:
            return (f"the service samples every {self._sample['interval']:g} s, as another client asked it to: too slow to "
                    "mind heat")
        return None

    def wait_for_a_sample(self, seconds: float) -> Reading:
        """The first good reading within `seconds`, or the last that was not."""
        until = self.monotonic() + seconds
        while (reading := self.read()).lost and self.monotonic() < until:
            if self._child is not None and self._child.stdout is not None:
                select.select([self._child.stdout], [], [], 0.1)
            elif self._failed[0] != "no reading yet":
                break                                  # it said why, and trying again at once would not change it
        return reading

    def read(self) -> Reading:
        """The last sample of the service, where it is fresh; else what is lost and why."""
        self._keep_a_child()
        self._drain()
        now = self.monotonic()
        age = now - self._advanced
        if self._child is not None and age > (STALE_SECONDS if self._sample else CONNECT_SECONDS):
            what = "stale" if self._sample else "no answer"
            self._fail(what, f"no new reading for {age:.1f} s; the service hangs or its timer died")
        if self._sample is None:
            name, text = self._failed
            return Reading(now, self.name, lost=(Lost("telemetry", self.name, f"{name}: {text}" if text else name),))
        return self._reading(self._sample)

    def close(self) -> None:
        """End the child. A stopped service can hold the client for ever, so it is not asked."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._child = None

    def _keep_a_child(self) -> None:
        if self._child is not None or self.monotonic() < self._again:
            return
        self._torn, self._advanced = b"", self.monotonic()
        self._child = subprocess.Popen(
            [self.python, "-m", "edge_sleep.device.telemetry.jtop_child", str(INTERVAL_SECONDS)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=children.environment())
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)

    def _drain(self) -> None:
        """Take in what the child wrote; the pipe holds some seconds of samples, of which the last counts."""
        if self._child is None or self._child.stdout is None:
            return
        ended = False
        while True:
            try:
                part = os.read(self._child.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not part:
                ended = True
                break
            self._torn += part
        *lines, self._torn = self._torn.split(b"\n")
        for text in lines:
            document = json.loads(text)
            if "failed" in document:
                self._fail(document["failed"], document["text"])
                return
            if self._sample is None or document["uptime"] > self._sample["uptime"]:
                self._advanced = document["at"]
                self._wait = _RETRY_SECONDS[0]
            self._sample = document
        if ended:
            self._fail("connection lost", "the process that reads the service ended")

    def _fail(self, name: str, text: str) -> None:
        self.close()
        self._sample, self._failed = None, (name, text)
        self._again = self.monotonic() + self._wait
        self._wait = min(2 * self._wait, _RETRY_SECONDS[1])

    def _reading(self, sample: dict[str, Any]) -> Reading:
        lost: list[Lost] = []
        zones: dict[str, float] = {}
        gated = []
        for name, sensor in sample["temperature"].items():
            zone = name.casefold()
            if not sensor["online"] or sensor["temp"] == _OFFLINE:
                gated.append(zone)
            elif sysfs.possible(zone, sensor["temp"], lost):
                zones[zone] = sensor["temp"]
        rails, watts, watts_of = self._power(sample["power"], lost)
        load, hertz = next(((gpu["load"] / 100, gpu["kilohertz"]) for gpu in sample["gpu"].values()), (None, None))
        available = sysfs.memory_available(self.meminfo, lost)     # the client has no MemAvailable
        return Reading(self._advanced, self.name, zones, tuple(gated), rails, watts, watts_of, load,
                       None if hertz is None else hertz * 1000, available, sample["mode"],
                       sysfs.throttling(self.sys_root), sysfs.over_current(self.sys_root), tuple(lost))

    def _power(self, power: dict[str, Any], lost: list[Lost]) -> tuple[dict[str, float], float | None, str]:
        """A rail that cannot be read just vanishes from the client's answer, and with the total's rail so does its name."""
        rails = {name: rail["power"] / 1000 for name, rail in power.get("rail", {}).items()}
        total = power.get("tot", {})
        if "name" in total:
            self._total = total["name"]
            rails[total["name"]] = total["power"] / 1000
        for name in sorted(self._rails - set(rails)):
            lost.append(Lost("rail", name, "the service no longer shows it"))
        self._rails |= set(rails)
        if self._total is not None:
            if self._total not in rails and self._total not in self._rails:
                lost.append(Lost("rail", self._total, "the service does not show it"))
            return rails, rails.get(self._total), self._total
        if not rails:
            return rails, None, ""
        whole = set(rails) == self._rails
        return rails, sum(rails.values()) if whole else None, f"sum of {len(self._rails)} rails"


def installed_version() -> str | None:
    """Of the client, without importing it."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def missing(socket: Path) -> str | None:
    """What a client needs and is not here; None where one can be tried."""
    if installed_version() is None:
        return f"{PACKAGE} is not installed (pip install 'edge_sleep[jetson]', of the service's version)"
    return None if socket.exists() else f"no jtop service ({socket} is missing)"
