"""Where the jobs are trained that a worker holds: on this machine, or on a Ray cluster (thor/ray_engine.py).

A worker takes jobs as long as its engine has room, begins them, and hears what ended; lease, mailbox and keys stay with it.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edge_sleep.config import Config
from edge_sleep.errors import EdgeSleepError, RemoteRefused
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold, holder
from edge_sleep.system.signals import Signals
from edge_sleep.thor import training
from edge_sleep.thor.bases import Bases
from edge_sleep.thor.held import Held
from edge_sleep.thor.job import Job
from edge_sleep.thor.training import Ended

End = Ended | EdgeSleepError                       # an error: what the job is sent back or given back for


class Engine(Protocol):
    """Collaborator of the worker. `begin` and `ended` are called by one thread."""

    name: str
    alone: bool                                    # an error that is not the job's ends the worker

    def busy(self) -> str | None:
        """Why no job can be begun now; None: it can."""
        ...

    def room(self) -> bool:
        """Whether one more job may be taken."""
        ...

    def begin(self, held: Held) -> None:
        """Train a job that was received. Raises what `ended` could have told."""
        ...

    def ended(self) -> list[tuple[Held, End]]:
        """What ended since it was last asked."""
        ...

    def nodes(self) -> Sequence[Any]:
        """The machines that can do jobs now."""
        ...

    def holds(self) -> list[Held]:
        """The jobs that were begun and of which `ended` has not told."""
        ...

    def stop(self) -> None:
        """End all work; what it had reached is kept. The jobs it still holds are the worker's to give back."""
        ...


class Local:
    """This machine, one job at a time: `begin` returns when it is over. A conversation or a night of this home comes first."""

    name, alone = "local", True

    def __init__(self, home: Home, config: Config, clock: Clock, signals: Signals, tell: Callable[[str], None]):
        self.home, self.config, self.clock, self.signals = home, config, clock, signals
        self.bases = Bases(config.thor.bases, config.companion.allow_download, tell)
        self._ended: list[tuple[Held, End]] = []

    def busy(self) -> str | None:
        for lock in (self.home.session_lock, self.home.night_lock):
            if (other := holder(lock)) is not None:
                return f"{other.get('what', 'another')} has the device"
        return None

    def room(self) -> bool:
        return not self._ended

    def begin(self, held: Held) -> None:
        with hold(self.home.night_lock, f"job {held.offer.job[:12]}"):
            ended = training.train(held.job, held.folder, base_of(held.job, self.bases), self.config, self.home.cache, self.clock,
                                   held.events, lambda: self._give_way(held))
        self._ended.append((held, ended))

    def ended(self) -> list[tuple[Held, End]]:
        ended, self._ended = self._ended, []
        return ended

    def nodes(self) -> Sequence[Any]:
        return (self.home,)

    def holds(self) -> list[Held]:
        return []

    def stop(self) -> None:
        return None

    def _give_way(self, held: Held) -> str | None:
        if self.signals.received is not None:
            return f"signal {self.signals.received}"
        if held.heart.lost is not None:
            return held.heart.lost
        other = holder(self.home.session_lock)
        return None if other is None else f"{other.get('what', 'a conversation')} holds the session lock"


def base_of(asked: Job, bases: Bases) -> training.BaseSource:
    """The copy of a job's base. Raises RemoteRefused where there is none."""
    found = bases.of(asked.base.sha256)
    if found is None:
        raise RemoteRefused(f"base not here: {asked.base.source} ({asked.base.sha256[:12]}) is none of the "
                            f"{len(bases)} in thor.bases of the worker")
    return found
