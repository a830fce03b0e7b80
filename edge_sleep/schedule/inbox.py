"""Transcripts that wait: folders are looked at, and read once what is in them has changed and come to rest."""
from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data.session import SUFFIXES, find_files
from edge_sleep.system.home import Home
from edge_sleep.system.writers import being_written, identity

LOOK_SECONDS = 60.0
REST_SECONDS = 60.0                    # a transcript that is written anew after each exchange is closed in between


def places(home: Home, config: Config) -> list[Path]:
    """Where a home's transcripts come from, as far as those places are there."""
    named = [*map(lambda name: Path(name).expanduser(), config.data.sessions), home.sessions]
    return [path for path in named if path.exists()]


def contents(paths: Iterable[Path], now: float) -> str | None:
    """A mark of the closed files under `paths`; None while one of them is younger than its rest, or there is none.

    now: epoch seconds. Equal marks: nothing was added, changed, or closed.
    """
    written, digest, count = being_written(SUFFIXES), hashlib.sha256(), 0
    for path in find_files(paths):
        if not isinstance(path, Path):
            continue
        try:
            found = path.stat()
            if identity(path) in written:
                continue
        except OSError:
            continue                   # it was moved away meanwhile
        if 0 <= now - found.st_mtime < REST_SECONDS:
            return None
        digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\n".encode(errors="surrogateescape"))
        count += 1
    return digest.hexdigest()[:16] if count else None


class Reader:
    """Lets another process read what waits, while nothing else has the device."""

    def __init__(self, home: Home, command: Callable[[Sequence[Path]], Sequence[str]], say: Callable[[str], None],
                 environment: Mapping[str, str]):
        """command: that of reading some places. say: a line for the log."""
        self._home, self._command, self._say, self._environment = home, command, say, environment
        self._child: subprocess.Popen | None = None
        self._mark: str | None = None              # of what the child reads
        self._next = 0.0

    @property
    def busy(self) -> bool:
        return self._child is not None

    def look(self, known: str | None, config: Config, now: float, since_boot: float, free: bool) -> str | None:
        """The mark of what was read last; `known` is the one before.

        now: epoch seconds. since_boot: of the clock that no setting moves. free: whether reading may begin.
        """
        if self._child is not None:
            if (code := self._child.poll()) is None:
                return known
            self._child = None
            # What cannot be read now is tried again when something changes, not every minute.
            self._say("transcripts were read" if code == 0 else
                      f"warning: reading transcripts ended with {code}; `edge-sleep ingest` says why")
            return self._mark
        if not free or since_boot < self._next:
            return known
        self._next = since_boot + LOOK_SECONDS
        paths = places(self._home, config)
        mark = contents(paths, now) if paths else None
        if mark is None or mark == known:
            return known
        self._mark = mark
        try:
            self._child = subprocess.Popen(self._command(paths), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           env=dict(self._environment), start_new_session=True)
        except OSError as error:
            self._say(f"warning: transcripts cannot be read: {error.strerror}")
        return known

    def stop(self) -> None:
        """End it; what was read is stored in whole transactions, and the rest is read the next time."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None
