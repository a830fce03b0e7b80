"""One reading of heat and power."""
from __future__ import annotations

from edge_sleep.device.doctor.check import Check
from edge_sleep.device.telemetry.choose import Source


def check_sensors(source: Source | None, why: str) -> tuple[Check, dict]:
    """One reading of heat and power; the check, and what `doctor --json` shows of it. source, why: of telemetry.choose."""
    if source is None:
        return (Check("sensors", "skip", f"{why}; a night cannot mind this machine's heat"),
                {"source": "none", "celsius": {}, "watts_total": None})
    reading = source.read()
    source.close()
    told = {"source": reading.source, "celsius": reading.zones, "watts_total": reading.watts}
    found = f"{len(reading.zones)} thermal zones by {reading.source} ({why})"
    if reading.hottest:
        found += f", hottest {reading.hottest[0]} at {reading.hottest[1]:.1f} degrees"
    if reading.gated:
        found += f", {len(reading.gated)} powered off"
    if reading.watts is not None:
        found += f"; {reading.watts:.1f} W ({reading.watts_of})"
    if reading.throttling:
        return Check("sensors", "warn", f"{found}; the kernel throttles: {', '.join(reading.throttling)}",
                     "let the board cool down, and look at its fan"), told
    if reading.lost:
        return Check("sensors", "warn", f"{found}; lost: {'; '.join(map(str, reading.lost))}",
                     "a sensor that should answer does not; heat there would go unseen"), told
    return Check("sensors", "ok", found), told
