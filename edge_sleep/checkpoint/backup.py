"""One home as one file: a plain tar (gzip by suffix) whose last member lists the sha256 of every other.

Left out is what belongs to this board or can be made again: cache/ and the home's state/ with its locks. The base is not
in it: base.json names it. Read in restore.py.
"""
from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from edge_sleep.checkpoint import manifest, store
from edge_sleep.data.store import sqlite_errors
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.system.files import TEMPORARY, fsync_folder, read_object, storage_errors
from edge_sleep.system.home import Home

FORMAT = 1
NAME = "backup.json"
_HERE_ONLY = ("cache", "state")
_OF_SQLITE = ("experience.db-wal", "experience.db-shm", "experience.db-journal")
_GZIP = (".gz", ".tgz")


def belongs(name: str) -> bool:
    """Whether a file of a home, by its path inside it, is part of a backup."""
    parts = PurePosixPath(name).parts
    return parts[0] not in _HERE_ONLY and name not in _OF_SQLITE and not any(part.startswith(TEMPORARY) for part in parts)


def back_up(home: Home, file: Path, created: str) -> dict[str, Any]:
    """Write the home into `file` and return the list that ends it. The caller holds the night lock.

    A conversation may go on meanwhile: SQLite copies its own database, everything else is replaced whole. The file
    appears when it is complete; one of that name before it stays until then. Only its owner may read it.
    """
    file = file.absolute()
    if file.is_dir() or not file.parent.is_dir():
        raise UsageError(f"{file} is a folder" if file.is_dir() else f"no folder at {file.parent}", "name a file to be written")
    if home.root.resolve() in file.resolve().parents:
        raise UsageError(f"{file} lies inside the home", "name a file outside of it, on another disk if there is one")
    sweep(file.parent, file.name)
    temporary = file.parent / f"{TEMPORARY}{file.name}.{os.getpid()}"
    files: dict[str, dict] = {}
    with storage_errors(file):
        try:
            with open(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                with _tar(stream, file.suffix) as tar, _database(home, temporary) as database:
                    for name, path in _files(home):
                        with suppress(FileNotFoundError), open(database if path == home.experiences else path, "rb") as source:
                            files[name] = _add(tar, name, source)      # what is taken away meanwhile is left out
                    document = manifest.sealed({"format": FORMAT, "created": created, **_holds(home), "files": files})
                    _add(tar, NAME, io.BytesIO(json.dumps(document, indent=1).encode()))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, file)
            fsync_folder(file.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return document


def sweep(folder: Path, stem: str) -> None:
    """Remove what a backup or restore that was cut left half written in `folder`; one that still runs keeps its own."""
    for left in folder.iterdir():
        if left.name.startswith(beginning := f"{TEMPORARY}{stem}."):
            pid = left.name.removeprefix(beginning).partition(".")[0]
            if pid.isdigit() and not Path("/proc", pid).exists():
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _tar(stream: BinaryIO, suffix: str) -> tarfile.TarFile:
    if suffix in _GZIP:
        return tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6)
    return tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)


def _holds(home: Home) -> dict[str, Any]:
    """What a person would ask of a backup: which base, which adapter was current."""
    try:
        known = read_object(home.base, "base record", "sha256") if home.base.is_file() else None
        base = known and {key: known.get(key) for key in ("source", "sha256")}
    except IntegrityError:
        base = None
    return {"base": base, "adapter": ((store.read_damaged(home) or {}).get("adapter") or {}).get("id")}


def _files(home: Home) -> Iterator[tuple[str, Path]]:
    """(path inside the home, file), in order. Raises UsageError for what is neither file nor folder: it would be lost."""
    for folder, below, names in os.walk(home.root):
        for name in sorted([*names, *below]):
            path = Path(folder) / name
            inside = path.relative_to(home.root).as_posix()
            if not belongs(inside):
                if name in below:
                    below.remove(name)
            elif path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UsageError(f"{path} is a link or a device: a backup holds files only",
                                 "put the files themselves into the home")
            elif path.is_file():
                yield inside, path
        below.sort()


@contextmanager
def _database(home: Home, beside: Path) -> Iterator[Path]:
    """A copy of experience.db as of one instant, without its log; gone afterwards."""
    copy = beside.with_name(f"{beside.name}.db")
    try:
        if home.experiences.is_file():
            copy.unlink(missing_ok=True)
            os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with sqlite_errors(home.experiences), \
                    closing(sqlite3.connect(f"{home.experiences.absolute().as_uri()}?mode=ro", uri=True)) as source, \
                    closing(sqlite3.connect(copy, isolation_level=None)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
        yield copy
    finally:
        copy.unlink(missing_ok=True)


class _Hashed:
    """A file that is hashed while tarfile reads it."""

    def __init__(self, stream: BinaryIO):
        self.stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.digest.update(block)
        return block


def _add(tar: tarfile.TarFile, name: str, source: BinaryIO) -> dict:
    """One member, as long as the file is now: what is appended meanwhile is left to the next backup."""
    member = tarfile.TarInfo(name)
    if isinstance(source, io.BytesIO):
        member.size, member.mode = len(source.getvalue()), 0o600
    else:
        found = os.fstat(source.fileno())
        member.size, member.mode, member.mtime = found.st_size, found.st_mode & 0o777, int(found.st_mtime)
    hashed = _Hashed(source)
    tar.addfile(member, hashed)  # type: ignore[arg-type]
    return {"sha256": hashed.digest.hexdigest(), "bytes": member.size}
