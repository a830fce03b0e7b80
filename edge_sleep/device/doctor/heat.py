"""How far the board is from the heat at which a night pauses, and where the kernel itself steps in."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.device.doctor.check import ROOT, Check, text_of
from edge_sleep.device.profile import Thermal

ZONES = "sys/devices/virtual/thermal"
# A board that idles closer than this to its ceiling spends a night pausing (a Jetson's 15 W heat it by 15 to 22 degrees).
NARROW_CELSIUS = 15.0
_POSSIBLE = (0.0, 150.0)                               # Celsius; a trip outside is a placeholder
# Tells a person not to touch the board; nothing is slowed there.
_NO_ACTION = "hot-surface-alert"


@dataclass(frozen=True)
class Trips:
    """The lowest trip points of all zones, in Celsius; None where the kernel has none."""

    slows: float | None = None
    shuts_down: float | None = None


def read_trips(root: Path = ROOT) -> Trips:
    """The kernel's own trip points. Raises nothing: one that cannot be read is left out."""
    found: dict[str, list[float]] = {"passive": [], "critical": []}
    for zone in sorted((root / ZONES).glob("thermal_zone*")):
        for number, kind, celsius in _points(zone):
            if kind in found and _POSSIBLE[0] < celsius < _POSSIBLE[1] and not _only_tells(zone, number):
                found[kind].append(celsius)
    return Trips(min(found["passive"], default=None), min(found["critical"], default=None))


def check_headroom(celsius: Mapping[str, float], thermal: Thermal, trips: Trips) -> Check | None:
    """Never a failure: a night pauses for heat, and a lower power mode or a fan is the owner's choice. None without a zone."""
    if not celsius:
        return None
    zone, hottest = max(celsius.items(), key=lambda item: item[1])
    limits = [(limit, what) for limit, what in ((thermal.ceiling_celsius, "the profile's ceiling"),
                                                (trips.slows, "where the kernel slows the clocks")) if limit is not None]
    kernel = "".join(f"; the kernel {does} at {at:g}" for does, at in (("slows", trips.slows), ("shuts down", trips.shuts_down))
                     if at is not None)
    if not limits:
        return Check("headroom", "skip", f"{zone} at {hottest:.1f} degrees; no ceiling is known{kernel}")
    limit, what = min(limits)
    found = f"{limit - hottest:.1f} degrees from {zone} at {hottest:.1f} to {what}, {limit:g}{kernel}"
    if limit - hottest < NARROW_CELSIUS:
        return Check("headroom", "warn", found, "a night would pause often: look at fan, dust and where the board stands, "
                     "or choose a lower power mode")
    if thermal.ceiling_celsius is not None and trips.slows is not None and trips.slows <= thermal.ceiling_celsius:
        return Check("headroom", "warn", f"{found}: the kernel acts before the ceiling of {thermal.ceiling_celsius:g}",
                     "lower thermal.ceiling_celsius in the profile")
    return Check("headroom", "ok", found)


def _points(zone: Path) -> Iterator[tuple[str, str, float]]:
    for file in sorted(zone.glob("trip_point_*_type")):
        number = file.name.removeprefix("trip_point_").removesuffix("_type")
        kind, millicelsius = text_of(file), text_of(zone / f"trip_point_{number}_temp")
        try:
            yield number, kind or "", int(millicelsius or "") / 1000
        except ValueError:
            continue


def _only_tells(zone: Path, number: str) -> bool:
    """Whether all that is bound to this trip is an alert to people."""
    bound = [text_of(zone / file.name.removesuffix("_trip_point") / "type") for file in zone.glob("cdev*_trip_point")
             if text_of(file) == number]
    return bool(bound) and all(kind == _NO_ACTION for kind in bound)
