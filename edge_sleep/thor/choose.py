"""Which engine a worker's configuration means."""
from __future__ import annotations

from collections.abc import Callable

from edge_sleep.config import Config
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.system.signals import Signals
from edge_sleep.thor.engine import Engine, Local


def open_engine(home: Home, config: Config, clock: Clock, signals: Signals, tell: Callable[[str], None]) -> Engine:
    """The engine of thor.engine. Raises DeviceError where it is a cluster, and none answers."""
    if config.thor.engine == "local":
        return Local(home, config, clock, signals, tell)
    from edge_sleep.thor.ray_engine import RayEngine

    return RayEngine(config, clock, tell)
