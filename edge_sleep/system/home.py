"""The folder that holds one companion's whole state: where each file lies."""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.errors import StorageError
from edge_sleep.system import lock
from edge_sleep.system.files import storage_errors, sweep_temporaries


def default_home() -> Path:
    """EDGE_SLEEP_HOME, else the user's data folder (XDG)."""
    if named := os.environ.get("EDGE_SLEEP_HOME"):
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "edge-sleep"


@dataclass(frozen=True)
class Home:
    root: Path

    config = property(lambda self: self.root / "edge-sleep.yaml")
    experiences = property(lambda self: self.root / "experience.db")
    base = property(lambda self: self.root / "base.json")
    adapters = property(lambda self: self.root / "adapters")
    current = property(lambda self: self.root / "current.json")
    latest = property(lambda self: self.root / "latest.json")
    daily = property(lambda self: self.root / "daily")
    nights = property(lambda self: self.root / "nights")
    sessions = property(lambda self: self.root / "sessions")
    state = property(lambda self: self.root / "state")
    night_lock = property(lambda self: self.root / "state" / "night.lock")
    session_lock = property(lambda self: self.root / "state" / "session.lock")
    exports = property(lambda self: self.root / "exports")
    power_intent = property(lambda self: self.root / "state" / "power-intent.json")
    neighbours_intent = property(lambda self: self.root / "state" / "neighbours-intent.json")
    metabolic = property(lambda self: self.root / "state" / "metabolic.json")
    rhythm = property(lambda self: self.root / "state" / "rhythm.json")
    watch_lock = property(lambda self: self.root / "state" / "watch.lock")
    cache = property(lambda self: self.root / "cache")
    keys = property(lambda self: self.root / "keys")
    jobs = property(lambda self: self.root / "jobs")
    worker_lock = property(lambda self: self.root / "state" / "worker.lock")
    outbox = property(lambda self: self.root / "outbox")
    received = property(lambda self: self.root / "received")
    sync_lock = property(lambda self: self.root / "state" / "sync.lock")

    def adapter(self, adapter_id: str) -> Path:
        return self.adapters / adapter_id

    def night(self, night_id: str) -> Path:
        return self.nights / night_id

    def exists(self) -> bool:
        return self.root.is_dir()

    def make(self) -> Home:
        """Create the folders and sweep what a power cut left half written; what is being written now is left alone.

        A new home is closed to other users: it holds what was said. One that is there keeps the mode that its owner gave it.
        """
        if self.root.exists() and not self.root.is_dir():
            raise StorageError(f"{self.root} is a file, not a folder", "choose another `--home`")
        with storage_errors(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)
            for folder in (self.adapters, self.daily, self.nights, self.state, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.root, os.W_OK):
                raise PermissionError(13, "permission denied", str(self.root))
        if not lock.is_held(self.night_lock):
            for folder in (self.root, self.adapters, self.daily, self.nights, self.state,
                           *self.exports.glob("*"), *self.nights.glob("*")):
                sweep_temporaries(folder)
        return self
