"""What the machine and the home say at this moment: load, power, disk, locks, and what waits to be learned."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data import tonight
from edge_sleep.data.buffer import Buffer
from edge_sleep.schedule.rhythm import Machine
from edge_sleep.system import lock
from edge_sleep.system.clock import clock_synchronised
from edge_sleep.system.home import Home

SUPPLIES = Path("/sys/class/power_supply")


def observed(home: Home, config: Config, count: bool = True) -> Machine:
    """This moment. count: look into the store for what waits to be learned, too."""
    root = home.root if home.exists() else home.root.parent
    return Machine(new_experiences(home, config) if count else None, held(home.night_lock, "a night"),
                   held(home.session_lock, "a conversation"), load_per_core(),
                   shutil.disk_usage(root).free if root.exists() else None, power_source(), clock_synchronised())


def held(file: Path, otherwise: str) -> str | None:
    """Who holds a lock, in words; None: nobody."""
    holder = lock.holder(file)
    return None if holder is None else f"{holder.get('what', otherwise)} (pid {holder.get('pid', 'unknown')}) has the device"


def new_experiences(home: Home, config: Config) -> int:
    """How many experiences a night would learn now. Raises what a damaged store raises."""
    if not home.experiences.is_file():
        return 0
    with Buffer(home.experiences) as buffer:
        untrained = buffer.counts()["untrained"]
        # Conversations that are held out for judging are never learned, and would count as new for ever.
        return untrained if untrained < config.data.min_new else len(tonight.choose(buffer, config)[0])


def load_per_core() -> float | None:
    """Runnable processes per core over five minutes; None where the kernel does not tell."""
    try:
        return os.getloadavg()[1] / (os.cpu_count() or 1)
    except OSError:
        return None


def power_source(supplies: Path = SUPPLIES) -> str | None:
    """mains, battery, or None for a board that has neither to tell: what is plugged in and no more.

    A battery that belongs to a mouse is none of this machine's (`scope` Device).
    """
    found = [_attributes(folder) for folder in sorted(supplies.glob("*"))] if supplies.is_dir() else []
    own = [supply for supply in found if supply.get("scope") != "Device"]
    if any(supply.get("type") not in (None, "Battery") and supply.get("online") == "1" for supply in own):
        return "mains"
    batteries = [supply for supply in own if supply.get("type") == "Battery" and supply.get("present", "1") == "1"]
    if not batteries:
        return None
    return "battery" if any(supply.get("status") == "Discharging" for supply in batteries) else "mains"


def _attributes(folder: Path) -> dict[str, str]:
    found = {}
    for name in ("type", "scope", "online", "present", "status"):
        try:
            found[name] = (folder / name).read_text().strip()
        except OSError:
            continue
    return found
