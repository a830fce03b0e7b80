"""`edge_sleep.load_current`: a home's path in, a session out that has the device."""
from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from edge_sleep.device import profile
from edge_sleep.model import settings
from edge_sleep.serve.session import Session
from edge_sleep.serve.session import load_current as load
from edge_sleep.system import turn
from edge_sleep.system.home import Home, default_home

_WHAT = "a conversation (load_current)"


def load_current(home: str | os.PathLike[str] | None, sets: Iterable[str], take_device: bool, wait_seconds: float) -> Session:
    """See `edge_sleep.load_current`."""
    place = Home(Path(home or default_home()).expanduser().absolute())
    config, _ = settings.layered(place, tuple(sets), profile.detect()[0])
    with ExitStack() as lent:
        if take_device:
            lent.enter_context(turn.conversation(place, _WHAT, wait_seconds))
        session = load(place, config)
        session.at_close.push(lent.pop_all())
    return session
