"""What holds tonight, from the configuration and the board's profile, and whether this machine can tell that it holds."""
from __future__ import annotations

from typing import Any

from edge_sleep.config import Power, Thermal
from edge_sleep.device.doctor.heat import Trips, read_trips
from edge_sleep.device.machine import on_board
from edge_sleep.device.profile import Profile
from edge_sleep.device.telemetry.choose import Source, choose
from edge_sleep.errors import ConfigError, DeviceError
from edge_sleep.train.governor import PAUSE_ABOVE_CEILING, Limits

NO_TRIPS = Trips()
_LEAST_TRIP = 60.0                                     # Celsius; below, a trip is a placeholder or is about something else
_BELOW_THE_KERNEL = PAUSE_ABOVE_CEILING + 1.0


def minded(thermal: Thermal, power: Power, board: Profile) -> tuple[Source | None, Limits, dict[str, Any]]:
    """(what reads the board, open; the limits it is held to; both in words) on this machine.

    Raises ConfigError, DeviceError where the limits cannot be kept.
    """
    held, why_held = limits(thermal, power, board, read_trips())
    source, why = choose(thermal.source, board.power.total_rail)
    if source is None and thermal.source != "none":
        why = check_seen(held, why, on_board())
    return source, held, {"source": "none" if source is None else source.name, "reason": why, "limits": why_held}


def limits(thermal: Thermal, power: Power, board: Profile, trips: Trips = NO_TRIPS) -> tuple[Limits, str]:
    """(limits, where they come from). trips: where this machine's kernel acts; a profile's ceiling gives way to it.

    Raises ConfigError where a ceiling that was asked for leaves no room below what the kernel does.
    """
    ceiling = thermal.ceiling_celsius or board.thermal.ceiling_celsius
    release = thermal.release_celsius or (None if thermal.ceiling_celsius else board.thermal.release_celsius)
    problems = []
    acts = [at for at in (trips.slows, trips.shuts_down) if at is not None and at >= _LEAST_TRIP]
    kernel = min([*acts, *filter(None, [board.thermal.throttle_celsius or board.thermal.trip_celsius])], default=None)
    origin = "configured" if thermal.ceiling_celsius else board.name
    if not thermal.ceiling_celsius and ceiling is not None and kernel is not None and ceiling + _BELOW_THE_KERNEL > kernel:
        ceiling, release, origin = kernel - _BELOW_THE_KERNEL, None, f"{board.name}, below the kernel's {kernel:g}"
    if ceiling is not None and kernel is not None and ceiling + PAUSE_ABOVE_CEILING >= kernel:
        problems.append(f"thermal.ceiling_celsius: at {kernel:g} degrees the kernel of {board.name} acts; stay below "
                        f"{kernel - PAUSE_ABOVE_CEILING:g} (found {ceiling:g})")
    if release is not None and (ceiling is None or release >= ceiling):
        problems.append(f"thermal.release_celsius: must be below the ceiling (found {release:g}, the ceiling is "
                        f"{'not set' if ceiling is None else format(ceiling, 'g')})")
    if problems:
        raise ConfigError(problems)
    found = Limits(ceiling, release, power.cap_watts or None, power.energy_joules or None, thermal.longest_pause)
    parts = []
    if found.ceiling is not None:
        parts.append(f"{found.ceiling:g} degrees ({origin})")
    if found.cap_watts is not None:
        parts.append(f"{found.cap_watts:g} W")
    if found.energy_joules is not None:
        parts.append(f"{found.energy_joules:g} J")
    return found, ", ".join(parts) or f"nothing is limited: profile {board.name} knows no ceiling, and none is configured"


def check_seen(limits: Limits, why_none: str, on_jetson: bool) -> str:
    """What to say of a night that has limits and no telemetry to keep them by. Raises DeviceError where that is not to be risked.

    A board that has sensors and cannot read them is a hot one. A machine that has none (a PC with a Jetson's profile) is let go.
    """
    wanted = {"power.cap_watts": limits.cap_watts, "power.energy_joules": limits.energy_joules}
    asked = [name for name, value in wanted.items() if value]
    if asked:
        raise DeviceError(f"{', '.join(asked)} cannot be kept: no telemetry ({why_none})", "leave it out on this machine")
    if limits.ceiling is not None and on_jetson:
        raise DeviceError(f"this board's heat cannot be read ({why_none}), and {limits.ceiling:g} degrees are its ceiling",
                          "show /sys or /run/jtop.sock to the container (`edge-sleep doctor`), or say thermal.source: none")
    return f"no telemetry: {why_none}; heat and power are not minded"
