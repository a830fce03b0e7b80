"""What waits to be sent: one file a parcel in the home's outbox/, written whole before the night ends.

An entry names what is to be sent. Once it was sealed it also names the sealed blobs, which are on the disk by then: whatever cuts
a push, the next one sends those very bytes, so that nothing lies on the remote twice.
"""
from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import lineage, manifest, store
from edge_sleep.errors import IntegrityError, RemoteRefused
from edge_sleep.sync import ledger, sheet
from edge_sleep.sync.sheet import ADAPTER, EXPORT, MARKS, Blob
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import TEMPORARY, canonical_json, read_json, sweep_temporaries, write_json
from edge_sleep.system.home import Home

FORMAT = 1
_ENTRY = re.compile(r"(\d{8})-(adapter|export|marks)-([a-z0-9-]+)\.json")
_BACKOFF = "backoff.json"
_SEALED = "sealed"


@dataclass(frozen=True)
class Sealed:
    """A parcel's blobs: its files' and its sheet's. to: the machines that can open them; parent: of an adapter."""

    files: dict[str, Blob]
    sheet: Blob
    to: tuple[str, ...]
    parent: str | None = None

    @property
    def blobs(self) -> list[Blob]:
        """In the order in which they are sent: what names the others last."""
        return [*self.files.values(), self.sheet]


@dataclass(frozen=True)
class Waiting:
    """One parcel that waits. where: of an export, its folder in exports/; marks: of kind marks, the document itself."""

    file: Path
    number: int
    kind: str
    id: str
    queued: str
    where: str | None = None
    marks: dict | None = None
    sealed: Sealed | None = None


def backoff_file(home: Home) -> Path:
    return home.outbox / _BACKOFF


def sealed_folder(home: Home) -> Path:
    return home.outbox / _SEALED


def waiting(home: Home) -> list[Waiting]:
    """In the order they were queued. An entry that cannot be read is left out: what it named is found missing, and queued."""
    found = []
    for file in sorted(home.outbox.glob("*.json")) if home.outbox.is_dir() else []:
        named = _ENTRY.fullmatch(file.name)
        if named is None:
            continue
        try:
            document = read_json(file, "outbox entry")
            found.append(Waiting(file, int(named[1]), named[2], named[3], document["queued"], document.get("where"),
                                 document.get("marks"), _sealed(document.get("sealed"))))
        except (IntegrityError, RemoteRefused, LookupError, TypeError, AttributeError):
            continue
    return found


def _sealed(found: Any) -> Sealed | None:
    return None if found is None else Sealed(sheet.blobs(found["files"]), sheet.blob(found["sheet"]), tuple(found["to"]),
                                                 found["parent"])


def _write(entry: Waiting) -> None:
    sealed = entry.sealed and {"files": {name: blob.as_json() for name, blob in entry.sealed.files.items()},
                               "sheet": entry.sealed.sheet.as_json(), "to": list(entry.sealed.to),
                               "parent": entry.sealed.parent}
    write_json(entry.file, {"format": FORMAT, "kind": entry.kind, "id": entry.id, "queued": entry.queued, "where": entry.where,
                            "marks": entry.marks, "sealed": sealed})


def queue(home: Home, clock: Clock, kind: str, identity: str, *, where: str | None = None, marks: dict | None = None,
          again: bool = False) -> bool:
    """Let a parcel wait; False where it waits or was sent already (`again` sends it anew, sealed for all who are paired then)."""
    ahead = waiting(home)
    if any((entry.kind, entry.id) == (kind, identity) for entry in ahead):
        return False
    if not again and ledger.read(home).has(kind, identity):
        return False
    number = max((entry.number for entry in ahead), default=0) + 1
    _write(Waiting(home.outbox / f"{number:08}-{kind}-{identity}.json", number, kind, identity, clock.stamp(), where, marks))
    return True


def queue_current(home: Home, clock: Clock, again: bool = False) -> list[str]:
    """Queue the current adapter and all it grew from that was made here and not sent yet, oldest first; the ids.

    Derived from the pointer, so that a night that was cut before it queued loses nothing. Then the marks, where they changed.
    Raises IntegrityError where the pointer or the lineage cannot be read.
    """
    family = lineage.ids(home, store.incumbent(home))
    queued = [identity for identity in reversed(family)
              if not received(home, identity).is_file() and queue(home, clock, ADAPTER, identity, again=again)]
    _queue_marks(home, clock, again)
    return queued


def received(home: Home, adapter_id: str) -> Path:
    """Where it is written from whom an adapter was received."""
    return home.received / "adapters" / f"{adapter_id}.json"


def _queue_marks(home: Home, clock: Clock, again: bool) -> None:
    """Marks are news only as a whole: older ones that wait are let go of, unless their blobs may be on the way."""
    daily = {file.stem: mark for file in sorted(home.daily.glob("*.json")) if (mark := _mark(file)) is not None}
    marks = {"latest": _mark(home.latest), "daily": daily}
    identity = sheet_id(marks)
    for entry in waiting(home):
        if entry.kind == MARKS and entry.sealed is None and entry.id != identity:
            entry.file.unlink(missing_ok=True)
    if marks["latest"] is not None:
        queue(home, clock, MARKS, identity, marks=marks, again=again)


def sheet_id(marks: dict) -> str:
    return ledger.sha256(canonical_json(marks))[:16]


def _mark(file: Path) -> dict | None:
    try:
        found = read_json(file, "mark")
    except (FileNotFoundError, IntegrityError):
        return None
    adapter = found.get("adapter") if isinstance(found, dict) else None
    if not isinstance(found, dict) or adapter is not None and not isinstance(adapter, dict):
        return None
    return {"adapter": adapter and adapter.get("id"), "promoted_at": found.get("promoted_at")}


def queue_export(home: Home, clock: Clock, kind: str, identity: str, again: bool = False) -> bool:
    """Queue a base export that was made here. kind: the folder in exports/ that it is in."""
    return queue(home, clock, EXPORT, identity, where=kind, again=again)


def sealed(entry: Waiting, found: Sealed) -> Waiting:
    """The entry with its blobs, on the disk. Those lie in outbox/sealed/ by now."""
    entry = replace(entry, sealed=found)
    _write(entry)
    return entry


def done(home: Home, entry: Waiting) -> None:
    """It was sent and published: the entry goes first, what it named after it."""
    entry.file.unlink(missing_ok=True)
    for blob in entry.sealed.blobs if entry.sealed else []:
        _discard(sealed_folder(home), blob.sha256)


def drop(home: Home, identities: Sequence[str]) -> list[str]:
    """Let nothing of these adapters leave any more (`forget`); the ids of those that waited."""
    dropped = [entry for entry in waiting(home) if entry.id in identities]
    for entry in dropped:
        done(home, entry)
    return [entry.id for entry in dropped]


def sweep(home: Home) -> None:
    """Remove what a cut left in the outbox that no entry names. The caller holds the sync lock."""
    named = {blob.sha256 for entry in waiting(home) if entry.sealed for blob in entry.sealed.blobs}
    for left in home.outbox.glob(f"{TEMPORARY}*"):         # a night may queue meanwhile: what a living process writes is its own
        if not Path("/proc", left.name.rpartition(".")[2]).exists():
            left.unlink(missing_ok=True)
    folder = sealed_folder(home)
    sweep_temporaries(folder)
    for file in list(folder.iterdir()) if folder.is_dir() else []:
        if file.name.partition(".")[0] not in named:
            file.unlink(missing_ok=True)


def _discard(folder: Path, sha256: str) -> None:
    for file in (folder / sha256, note(folder, sha256)):
        file.unlink(missing_ok=True)


def note(folder: Path, sha256: str) -> Path:
    """Where the remote remembers how far this blob was sent."""
    return folder / f"{sha256}.note"


def whole(home: Home, entry: Waiting) -> bool:
    """Whether every sealed blob of an entry is on this disk, as long as it was."""
    folder = sealed_folder(home)
    return entry.sealed is not None and all(
        (folder / blob.sha256).is_file() and os.stat(folder / blob.sha256).st_size == blob.size_bytes
        for blob in entry.sealed.blobs)


def size_bytes(home: Home, entry: Waiting) -> int:
    """What an entry has to send, sealing's own bytes left out while it is not sealed."""
    if entry.sealed is not None:
        return sum(blob.size_bytes for blob in entry.sealed.blobs)
    folder = home.adapter(entry.id) if entry.kind == ADAPTER else home.exports / str(entry.where) / entry.id
    try:
        return sum(of["bytes"] for of in read_json(folder / manifest.NAME, "manifest")["files"].values())
    except (FileNotFoundError, IntegrityError, LookupError, TypeError, AttributeError):
        return 0
