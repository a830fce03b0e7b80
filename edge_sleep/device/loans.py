"""What nights have on loan from this machine, and what one that was killed did not put back."""
from __future__ import annotations

from typing import Any

from edge_sleep.device.neighbours import lease as neighbours
from edge_sleep.device.power import lease as power
from edge_sleep.system.home import Home


def any_left(home: Home) -> bool:
    """Whether a night has something on loan, or died with it. One look at the disk."""
    return home.power_intent.exists() or home.neighbours_intent.exists()


def put_back(home: Home) -> list[tuple[str, dict[str, Any]]]:
    """Put back what a killed night left: (event, facts) each. Raises nothing. The caller holds the night lock."""
    return [*((power.Power.event, facts) for facts in power.restore_left_over(home.power_intent)),
            *((neighbours.Neighbours.event, facts) for facts in neighbours.restore_left_over(home.neighbours_intent))]
