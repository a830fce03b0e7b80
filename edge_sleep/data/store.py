"""One SQLite file in WAL mode: opened, migrated, changed in whole transactions, with errors a person can act on."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edge_sleep.data.memory import StoredMemory
from edge_sleep.data.migrations import migrate
from edge_sleep.errors import Busy, IntegrityError, StorageError
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import storage_errors

_WAIT_SECONDS = 10.0
_CACHE_KIB = 32 << 10                     # the fingerprints are read at random: SQLite's own 2 MiB are too few


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into those a person can act on."""
    try:
        with storage_errors(path):
            yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise Busy(f"another process is writing {path}", "wait for it to end, then try again") from error
        if any(sign in text for sign in ("disk is full", "readonly", "read-only", "unable to open", "disk I/O")):
            raise StorageError(f"{path} cannot be written: {text}",
                               "free space, or give this user write permission; what was stored before is safe") from error
        if isinstance(error, sqlite3.DatabaseError) and any(
                sign in text for sign in ("malformed", "not a database", "no such table", "no such column")):
            raise IntegrityError(f"{path} is damaged: {text}",
                                 "`edge-sleep restore` a backup, or move the file away and ingest again") from error
        raise


Opened = TypeVar("Opened", bound="Store")


def _beside_as_writable(path: Path) -> None:
    """SQLite makes its -wal and -shm with the database's mode of that day: read-only ones stay so when the owner gives the
    permission back, and every write would be refused because of files that nobody knows of."""
    for beside in (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")):
        with suppress(OSError):
            if (mode := path.stat().st_mode & 0o777) & 0o200 and not beside.stat().st_mode & 0o200:
                beside.chmod(mode)


class Store:
    """The database of one home, with what the scorer and the quality gate remember. Use as a context manager."""

    def __init__(self, path: Path, clock: Clock | None = None):
        self.path = Path(path)
        self._clock = clock or Clock()
        with sqlite_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _beside_as_writable(self.path)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                migrate(self._connection, str(self.path))
                self._seen_version = self._version()
                self.memory = StoredMemory(self._connection)
                if self.memory.stale():
                    with self.transaction():
                        self.memory.rebuild()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; what memory learned inside goes with it."""
        if self._connection.in_transaction:
            yield
            return
        with sqlite_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                # It differs when another process has written since: what is cached here is old then.
                if (version := self._version()) != self._seen_version:
                    self.reset()
                    self._seen_version = version
                yield
                self.memory.flush()
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self.reset()
                raise

    def reset(self) -> None:
        """Forget what is cached of the database: it was rolled back, or another process has written."""
        self.memory.reset()

    def _version(self) -> int:
        return self._connection.execute("PRAGMA data_version").fetchone()[0]

    def rows(self, sql: str, values: Iterable[object] = ()) -> list[tuple]:
        with sqlite_errors(self.path):
            return self._connection.execute(sql, tuple(values)).fetchall()

    def stream(self, sql: str, values: Iterable[object] = ()) -> Iterator[tuple]:
        """Rows read as they are asked for; what is not asked for is not read."""
        with sqlite_errors(self.path):
            yield from self._connection.execute(sql, tuple(values))

    def rewrite(self) -> None:
        """Write the file anew, without what was deleted: no free page and no log keeps it. Needs its size again meanwhile."""
        with sqlite_errors(self.path):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def change(self, sql: str, values: Iterable[object] = ()) -> int:
        """One statement inside a transaction; returns how many rows it changed."""
        with self.transaction():
            return self._connection.execute(sql, tuple(values)).rowcount
