"""What holds tonight, from the configuration and the board's profile, and whether this machine can tell that it holds."""
from __future__ import annotations

from edge_sleep.config import Power, Thermal
from edge_sleep.device.profile import Profile
from edge_sleep.errors import ConfigError, DeviceError
from edge_sleep.train.governor import PAUSE_ABOVE_CEILING, Limits


def limits(thermal: Thermal, power: Power, board: Profile) -> tuple[Limits, str]:
    """(limits, where they come from). Raises ConfigError where the ceiling leaves no room below what the kernel does."""
    ceiling = thermal.ceiling_celsius or board.thermal.ceiling_celsius
    release = thermal.release_celsius or (None if thermal.ceiling_celsius else board.thermal.release_celsius)
    problems = []
    kernel = board.thermal.throttle_celsius or board.thermal.trip_celsius
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
        parts.append(f"{found.ceiling:g} degrees ({'configured' if thermal.ceiling_celsius else board.name})")
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
