"""Durable files: whole and hashed, or not there at all.

The one way anything that matters reaches the disk: a temporary file in the same folder, written
and hashed, fsync, replace, fsync of the folder (after borg's SaveFile).
"""
from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_sleep.errors import EdgeSleepError, IntegrityError, StorageError

TEMPORARY = ".tmp-"
_BLOCK = 1 << 20
_LOOK = "`edge-sleep verify` says what is still good"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_BROKEN = {errno.EIO, errno.EUCLEAN, errno.ESTALE, errno.ENXIO, errno.ENODEV}      # the medium, not what was asked of it


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of writing `path` into the StorageError a person can act on."""
    try:
        yield
    except OSError as error:
        if (known := of_storage(error, path)) is not None:
            raise known from error
        raise


def of_storage(error: OSError, path: Path | None = None) -> EdgeSleepError | None:
    """What a person can act on where the disk, or the rights to it, refused; None: something else."""
    path = path or Path(str(error.filename or "the home"))
    if error.errno in _FULL:
        return StorageError(f"no space left while writing {path} ({_free(path)} free)",
                            "free space on that disk, or `--home` on another; nothing accepted was lost")
    if error.errno in _DENIED:
        return StorageError(f"{path} cannot be read or written: {error.strerror}",
                            "give this user the permission, or choose another `--home`")
    if error.errno in _BROKEN:
        return StorageError(f"the disk of {path} fails: {error.strerror}",
                            "look at the kernel's log and at the medium; `edge-sleep backup` saves what can still be read")
    return None


def _free(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB"
    except OSError:
        return "unknown space"


def touched(file: Path) -> tuple[int, ...] | None:
    """What changes when a file is written or replaced, even with its size and times put back; None where it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> str:
    """Replace `path` by `content` durably; returns the sha256 (hex) of what was written."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{path.name}.{os.getpid()}"
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def write_json(path: Path, document: Any) -> str:
    return write_bytes(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def publish_folder(staged: Path, final: Path) -> None:
    """Make a fully written folder visible under its final name in one rename, without what a kill left half written in it."""
    with storage_errors(final):
        sweep_temporaries(staged)
        for file in sorted(staged.rglob("*")):
            if file.is_file():
                with open(file, "rb") as stream:
                    os.fsync(stream.fileno())
        fsync_folder(staged)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, final)
        fsync_folder(final.parent)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """An empty folder beside `final`, to be filled and published under that name; what is left of it goes, whatever happens."""
    with storage_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = final.parent / f"{TEMPORARY}{final.name}.{os.getpid()}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def read_json(path: Path, what: str) -> Any:
    """The JSON document at `path`; IntegrityError naming `what` where it does not parse."""
    try:
        document = json.loads(content := path.read_bytes())
        if b"\\u" in content:                              # half a surrogate pair is no text: it cannot be hashed or written
            json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError) as error:          # not UTF-8, not JSON, a number of thousands of digits, too deep
        raise IntegrityError(f"{what} {path} is not readable JSON: {str(error)[:200]}",
                             _LOOK) from error


def read_object(path: Path, what: str, *keys: str) -> dict[str, Any]:
    """The JSON object at `path`, with these keys in it. Raises IntegrityError naming `what`."""
    document = read_json(path, what)
    if not isinstance(document, dict):
        raise IntegrityError(f"{what} {path} is not what it should be: it holds no object", _LOOK)
    if missing := [key for key in keys if key not in document]:
        raise IntegrityError(f"{what} {path} lacks {', '.join(missing)}", _LOOK)
    return document


def sealed(document: dict) -> dict:
    """The document with the sha256 of all the rest of it, so that a flipped bit in it shows."""
    rest = {key: value for key, value in document.items() if key != "sha256"}
    return rest | {"sha256": hashlib.sha256(canonical_json(rest)).hexdigest()}


def write_sealed(path: Path, document: dict) -> str:
    """`write_json` with a seal, of the document as it will be read."""
    return write_json(path, sealed(json.loads(json.dumps(document, ensure_ascii=False))))


def read_sealed(path: Path, what: str, *keys: str) -> dict[str, Any]:
    """What `write_sealed` wrote, with these keys in it, without its seal. Raises IntegrityError where it is not that any more.

    A document without a seal is taken as it is: older versions wrote none.
    """
    document = read_object(path, what, *keys)
    if "sha256" in document and document != sealed(document):
        raise IntegrityError(f"{what} {path} does not match its sha256: a byte changed", _LOOK)
    return {key: value for key, value in document.items() if key != "sha256"}


def json_lines(text: str) -> list[str]:
    """The lines of JSON Lines, without what ends them. Not splitlines: a string may hold U+2028, which JSON leaves as it is."""
    return text.removesuffix("\n").split("\n") if text else []


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(document: Any) -> bytes:
    """One byte form per document: sorted keys, no spaces (input to hashes)."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sweep_temporaries(folder: Path) -> int:
    """Remove what a power cut left half written directly in `folder`; returns how many."""
    removed = 0
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.name.startswith(TEMPORARY):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
                removed += 1
    return removed
