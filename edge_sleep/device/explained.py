"""The error a person can act on behind one that came from below: the disk, the rights to it, the memory, the database."""
from __future__ import annotations

import sqlite3
import sys

from edge_sleep.device import shortage
from edge_sleep.errors import DoesNotFit, EdgeSleepError, IntegrityError, StorageError
from edge_sleep.system.files import of_storage


def explained(error: BaseException) -> EdgeSleepError | None:
    """None: a bug."""
    if isinstance(error, EdgeSleepError):
        return error
    if isinstance(error, MemoryError) or "torch" in sys.modules and shortage.out_of_memory(error) is not None:
        return DoesNotFit("the memory of this machine ran out", "free memory, or `--set train.micro_batch=1`")
    if isinstance(error, OSError):
        return of_storage(error)
    if isinstance(error, sqlite3.DatabaseError):
        text = str(error)
        if any(word in text for word in ("full", "readonly", "unable to open", "disk I/O")):
            return StorageError(f"experience.db: {text}", "free space or give write permission")
        if any(word in text for word in ("malformed", "not a database")):
            return IntegrityError(f"experience.db: {text}", "put back the last good copy of experience.db")
    return None
