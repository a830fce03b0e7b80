"""A backup made a home again: everything is checked before any of it is visible, and what it must not hold is refused.

Its list stands last, so the headers are read twice: once to know that they say what the list says, once to take the files.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from edge_sleep.checkpoint import backup, manifest
from edge_sleep.errors import IntegrityError, StorageError, UsageError
from edge_sleep.system.files import TEMPORARY, fsync_folder, publish_folder, storage_errors

_BLOCK = 1 << 20
_LONGEST_LIST_BYTES = 1 << 28
_MOST_FILES = 1_000_000
_ANOTHER = "take another backup of this home; nothing was restored"


def restore(file: Path, target: Path) -> dict[str, Any]:
    """Make `target`, which is not there or empty, the home that `file` holds; returns the backup's list.

    Raises IntegrityError where the file is damaged, or holds what no backup holds. `target` appears in one rename.
    """
    target = target.absolute()
    if target.is_mount() or target.is_symlink() or target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not an empty folder", "a backup becomes a home that is not there yet: name "
                         "another --home")
    if not file.is_file():
        raise UsageError(f"no backup at {file}", "name a file that `edge-sleep backup` made")
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        backup.sweep(target.parent, f"restore-{target.name}")
        staged = target.parent / f"{TEMPORARY}restore-{target.name}.{os.getpid()}"
        staged.mkdir(mode=0o700)                # as a new home: for its owner alone
        try:
            with _opened(file) as tar:
                document, members = _checked(tar, file)
                needed, free = sum(member.size for member in members), shutil.disk_usage(staged).free
                if needed > free:
                    raise StorageError(f"{file} holds {needed} bytes, {free} are free at {target.parent}", "free space there, or "
                                       "name another --home")
                for member in members:
                    _take(tar, member, staged / member.name, document["files"][member.name]["sha256"], file)
            if (staged / "keys").is_dir():
                (staged / "keys").chmod(0o700)
            for folder in sorted((path for path in staged.rglob("*") if path.is_dir()), reverse=True):
                fsync_folder(folder)
            publish_folder(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return document


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    with open(file, "rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    try:
        with tarfile.open(file, "r:gz" if compressed else "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise IntegrityError(f"{file} is damaged, or no backup: {error}", _ANOTHER) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise IntegrityError(f"{file} is damaged: {error}", _ANOTHER) from error       # gzip's own


def _checked(tar: tarfile.TarFile, file: Path) -> tuple[dict, list[tarfile.TarInfo]]:
    """(list, members without it), where names, kinds and sizes are those that a backup has and that the list says."""
    found: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        if why := _refused(member, found):
            raise IntegrityError(f"{file} holds {member.name!r}, {why}", "this is no backup of a home: do not use it")
        found[member.name] = member
    last = next(reversed(found), None)
    if last != backup.NAME or found[last].size > _LONGEST_LIST_BYTES:
        raise IntegrityError(f"{file} does not end with its list: it is cut short or damaged", _ANOTHER)
    stream = tar.extractfile(found.pop(last))
    document = json.loads(stream.read()) if stream is not None else None
    if not isinstance(document, dict) or document.get("format") != backup.FORMAT or document != manifest.sealed(document):
        raise IntegrityError(f"the list of {file} is damaged, or of another format", _ANOTHER)
    promised = document.get("files")
    if not isinstance(promised, dict) or not {"created", "base", "adapter"} <= set(document) or not all(
            isinstance(entry, dict) and {"sha256", "bytes"} <= set(entry) for entry in promised.values()):
        raise IntegrityError(f"the list of {file} is not that of a backup", _ANOTHER)
    if {name: member.size for name, member in found.items()} != {name: entry["bytes"] for name, entry in promised.items()}:
        raise IntegrityError(f"{file} does not hold the files, in the sizes, that its list says", _ANOTHER)
    return document, list(found.values())


def _refused(member: tarfile.TarInfo, before: dict[str, tarfile.TarInfo]) -> str | None:
    """Why a member cannot be of a backup; None where it can."""
    path = PurePosixPath(member.name)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        return "which is no plain file"
    if path.is_absolute() or ".." in path.parts or str(path) != member.name or not path.parts or "\0" in member.name:
        return "which is no path inside a home"
    if not backup.belongs(member.name):
        return "which belongs to one board and is never in a backup"
    if member.name in before or any(str(parent) in before for parent in path.parents):
        return "which stands there twice"
    if backup.NAME in before or len(before) >= _MOST_FILES:
        return "behind its list" if backup.NAME in before else f"after {_MOST_FILES} others"
    return None


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, sha256: str, file: Path) -> None:
    """Write one member, hashed while it is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    source: Any = tar.extractfile(member)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, member.mode & 0o777 | 0o600), "wb") as stream:
        while block := source.read(_BLOCK):
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != sha256:
        raise IntegrityError(f"{file}: {member.name} does not match its sha256: a byte changed", _ANOTHER)

