"""What was asked of a night, and what its stages hand to each other."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data.experience import Example, Experience
from edge_sleep.device import detect, profile
from edge_sleep.device.profile import Profile
from edge_sleep.errors import Outcome
from edge_sleep.model import base as base_model
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.home import Home
from edge_sleep.system.lock import holder
from edge_sleep.system.record import Recorder
from edge_sleep.system.signals import Signals
from edge_sleep.train.budget import Contract
from edge_sleep.train.pace import Pace


@dataclass(frozen=True)
class Request:
    """What the person asked of this night beyond the configuration."""

    sessions: tuple[Path, ...] = ()
    force: bool = False
    dry_run: bool = False
    ship: bool = False                       # train it elsewhere or not at all
    board: Profile | None = None             # as named on the command line; found out where it is left out

    def profile(self) -> Profile:
        """What is known of the board."""
        return self.board or profile.detect()[0]


# What a night ends with: its name, and why.
Ended = tuple[Outcome, str]


@dataclass
class Night:
    """What the stages hand to each other."""

    home: Home
    config: Config
    request: Request
    clock: Clock
    device: detect.Device
    place: base_model.BaseSource
    base: base_model.Base
    contract: Contract
    id: str
    events: EventLog
    recorder: Recorder
    signals: Signals
    pace: Pace
    parent: str | None = None
    experiences: list[Experience] = field(default_factory=list)   # tonight's new ones
    held_out: list[Experience] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    data_sha256: str = ""
    candidates: int = 1                                           # variants of the settings to train tonight
    not_shipped: str = ""                                         # why tonight's job is packed and not on its way

    folder = property(lambda self: self.home.night(self.id))
    state = property(lambda self: self.folder / "state")
    parent_folder = property(lambda self: self.home.adapter(self.parent) if self.parent else None)
    record = property(lambda self: self.recorder.record)


def interrupted(night: Night) -> str | None:
    """Why the night has to give way now, if it has to."""
    if night.signals.received is not None:
        return f"signal {night.signals.received}"
    session = holder(night.home.session_lock)
    return None if session is None else f"{session.get('what', 'a conversation')} holds the session lock"
