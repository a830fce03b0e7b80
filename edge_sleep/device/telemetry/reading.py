"""What a board feels at one moment, whoever read it: heat, power, load, memory, and what could not be read.

What is unknown is None or named in `lost`, never a number that looks cool: a governor takes a lost sensor for a hot one.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Lost(NamedTuple):
    """Something that should have been readable, and why it was not."""

    kind: Literal["telemetry", "zone", "rail", "gpu", "memory"]
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.why}"


@dataclass(frozen=True)
class Reading:
    """One moment. Celsius, watts, hertz, bytes; shares in [0, 1]."""

    at: float                                          # seconds of time.monotonic()
    source: str                                        # "jtop", "sysfs" or "replay"
    zones: dict[str, float] = field(default_factory=dict)          # online thermal zones by name, without "-thermal"
    gated: tuple[str, ...] = ()                        # zones of blocks that are powered off: neither hot nor cold
    rails: dict[str, float] = field(default_factory=dict)          # watts by rail
    watts: float | None = None                         # of the whole board; None where it cannot be known
    watts_of: str = ""                                 # the rail that measures it, or "sum of N rails"
    gpu_load: float | None = None
    gpu_hertz: int | None = None
    memory_available: int | None = None                # MemAvailable, or less where a cgroup is tighter
    power_mode: str | None = None
    throttling: tuple[str, ...] = ()                   # what the kernel throttles right now
    over_current: dict[str, int] = field(default_factory=dict)     # events since boot, by counter
    lost: tuple[Lost, ...] = ()

    @property
    def hottest(self) -> tuple[str, float] | None:
        """(zone, Celsius) of the hottest online zone; None where no zone is online."""
        return max(self.zones.items(), key=lambda item: item[1]) if self.zones else None
