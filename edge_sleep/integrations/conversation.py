"""For a conversation loop: hand over each exchange as it happens, or what a person taught.

The home's database stays open between calls, one connection per thread, and no model library is imported.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.config import Config, load
from edge_sleep.data import live
from edge_sleep.data import teach as teaching
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Experience
from edge_sleep.data.origin import ModelName
from edge_sleep.device import profile
from edge_sleep.errors import ModelError
from edge_sleep.model import identity, settings
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home, default_home

_CHECKPOINT_PAGES = 4096                  # 16 MiB of WAL: folding it back is the only slow call, and then a rare one
_opened = threading.local()


@dataclass
class _Open:
    state: tuple
    buffer: Buffer
    config: Config
    own: ModelName | None


def collect(home: str | os.PathLike[str] | None, prompt: str, response: str, session: object = None, phase: str | None = None,
            context: Sequence[Mapping[str, str]] | None = None, *, model: str | None = None) -> Experience:
    """See `edge_sleep.collect`."""
    clock = Clock()
    opened = _home(home)
    return live.collect(opened.buffer, opened.config, prompt, response, phase=phase, context=context, at=clock.stamp(),
                        session=clock.now().date().isoformat() if session is None else session, model=model, own=opened.own)


def teach(home: str | os.PathLike[str] | None, question: str | None, answer: str, instead_of: str | None = None) -> Experience:
    """See `edge_sleep.teach`."""
    opened = _home(home)
    return teaching.teach(opened.buffer, opened.config, question, answer, instead_of=instead_of, at=Clock().stamp())[0]


def _home(home: str | os.PathLike[str] | None) -> _Open:
    """The home's store and settings, opened anew only where a file changed under them or the process forked."""
    place = Home(Path(home or default_home()).expanduser().absolute())
    known: dict[Path, _Open] = _opened.__dict__.setdefault("homes", {})
    now = _state(place)
    opened = known.get(place.root)
    if opened is not None and opened.state == now:
        return opened
    if opened is not None and opened.state[0] == os.getpid():
        opened.buffer.close()
    place.make()
    config, own = _settings(place)
    buffer = Buffer(place.experiences)
    buffer.rows(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    known[place.root] = opened = _Open(_state(place), buffer, config, own)
    return opened


def _state(place: Home) -> tuple:
    def seen(file: Path, what: str) -> int | None:
        try:
            return getattr(os.stat(file), what)
        except FileNotFoundError:
            return None

    return os.getpid(), seen(place.experiences, "st_ino"), seen(place.config, "st_mtime_ns"), seen(place.base, "st_mtime_ns")


def _settings(place: Home) -> tuple[Config, ModelName | None]:
    """What a later ingest would use. A base that is not on this machine is no reason to lose a conversation."""
    try:
        config, base = settings.layered(place, (), profile.detect()[0])
    except ModelError:
        return load(place.config), None
    return config, identity.own(base)
