"""Sending what waits: seal, put every blob, then show the list that names them. Cut anywhere, the next push ends the same.

What a parcel's entry names is on this disk before the first byte leaves; the list here has the parcel before the remote's has it.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import EdgeSleepError, IntegrityError, RemoteRefused, SyncError, UsageError
from edge_sleep.export import artefact
from edge_sleep.model import adapter
from edge_sleep.remote.protocol import Missing, Remote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import backoff, ledger, outbox, sheet
from edge_sleep.sync.ledger import Published
from edge_sleep.sync.outbox import Sealed, Waiting
from edge_sleep.sync.sheet import ADAPTER, EXPORT, MARKS, Blob, Sheet
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import fsync_folder, new_folder, read_json, storage_errors, write_bytes
from edge_sleep.system.home import Home


@dataclass
class Pushed:
    """What came of a push. sent: kind and id, in order; kept: what could not be sealed and why, still waiting; dropped: what is
    not in the home any more."""

    sent: list[dict] = field(default_factory=list)
    kept: list[dict] = field(default_factory=list)
    dropped: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    serial: int = 0
    sealed_for: list[str] = field(default_factory=list)

    def as_json(self) -> dict:
        return vars(self)


def push(home: Home, remote: Remote, keys: Keys, clock: Clock, say: Callable[[str], None] = lambda _: None) -> Pushed:
    """Send everything that waits, oldest first. Raises SyncError (40) where the remote ended it: what waits is kept, and the
    failure noted for who tries by itself. Busy where another process syncs this home."""
    done = Pushed()
    with lock.hold(home.sync_lock, "a sync"):
        outbox.sweep(home)
        try:
            _catch_up(home, clock, done)
            known = _mine(home, remote, keys, clock, done)
            _catch_up(home, clock, done)               # what the remote has lost is known now
            for entry in outbox.waiting(home):
                known = _send(home, remote, keys, clock, known, entry, done, say)
            if known.serial != known.shown or (known.serial and known.key != keys.own.sign_key):
                known = ledger.show(home, known, remote, keys)
        except SyncError as error:
            backoff.note(outbox.backoff_file(home), error, clock, keys.own.id)
            raise
        backoff.clear(outbox.backoff_file(home))
        done.serial = known.serial
        done.sealed_for = [machine.name for machine in keys.peers]
    return done


def _catch_up(home: Home, clock: Clock, done: Pushed) -> None:
    """Queue what a night that was cut did not; where it cannot be told what is current, what waits already is sent."""
    try:
        outbox.queue_current(home, clock)
    except IntegrityError as error:
        note = f"what is current cannot be queued: {error.message}"
        done.notes += [note] if note not in done.notes else []


def _mine(home: Home, remote: Remote, keys: Keys, clock: Clock, done: Pushed) -> ledger.Ledger:
    """What this machine published. Where the remote has a newer list of its hand, a backup was restored here: that one counts."""
    known = ledger.read(home)
    try:
        there = ledger.listed(remote, keys.own.id, keys)
    except RemoteRefused as error:
        done.notes.append(f"this machine's list on the remote is not what it published ({error.message}): it is shown anew")
        return _mended(home, remote, clock, replace(known, shown=-1), done)
    if there is None:
        if known.parcels:
            done.notes.append("the remote has no list of this machine: it is another one, or was emptied; the list is shown anew")
        return _mended(home, remote, clock, replace(known, shown=0 if known.parcels else known.serial), done)
    if there.serial > known.serial:
        done.notes.append(f"the remote has list {there.serial} of this machine, this home knew {known.serial}: a backup was "
                          "restored, or another board uses the same keys")
        ours = {parcel.sheet.name: parcel for parcel in known.parcels}
        parcels = [ours.get(parcel.sheet.name) or _opened(home, remote, keys, parcel) for parcel in there.parcels]
        lost = [parcel for parcel in known.parcels if parcel.sheet.name not in {of.sheet.name for of in there.parcels}]
        known = ledger.write(home, replace(known, serial=there.serial + 1, parcels=tuple([*parcels, *lost])))
    elif there.serial < known.shown:
        done.notes.append(f"the remote has list {there.serial} of this machine where {known.shown} was shown: somebody put an "
                          "old one back; it is shown anew")
    return _mended(home, remote, clock, replace(known, shown=there.serial), done)


def _mended(home: Home, remote: Remote, clock: Clock, known: ledger.Ledger, done: Pushed) -> ledger.Ledger:
    """The list without what the remote has lost, which is sent again as far as it is in this home."""
    if not known.parcels:
        return known
    there = {entry.name: entry.size_bytes for entry in remote.list("blobs/")}
    lost = [parcel for parcel in known.parcels if any(there.get(blob.name) != blob.size_bytes for blob in parcel.blobs)]
    if not lost:
        return known
    done.notes.append(f"{len(lost)} parcels of this machine are not whole on the remote: they are sent again")
    for blob in (blob for parcel in lost for blob in parcel.blobs):
        if there.get(blob.name, blob.size_bytes) != blob.size_bytes:
            done.notes.append(f"{blob.name} has {there[blob.name]} bytes there, {blob.size_bytes} were sent")
    known = ledger.write(home, known.without(lost))
    for parcel in lost:
        if parcel.kind == ADAPTER and parcel.id and home.adapter(parcel.id).is_dir():
            outbox.queue(home, clock, ADAPTER, parcel.id)
        for folder in home.exports.glob(f"*/{parcel.id}") if parcel.kind == EXPORT else []:
            outbox.queue_export(home, clock, folder.parent.name, folder.name)
    return known


def _opened(home: Home, remote: Remote, keys: Keys, parcel: Published) -> Published:
    """A parcel of this machine's own that this home has no memory of; of none that opens its content stays unknown."""
    folder = home.outbox / "opened"
    try:
        fetched = folder / parcel.sheet.sha256
        remote.get(parcel.sheet.name, fetched)
        envelope.unseal(fetched, folder / "sheet", keys, sheet.purpose(keys.own.id), sheet.LIMIT_BYTES, archived=True)
        found = sheet.read((folder / "sheet").read_bytes(), keys.own.id)
        return replace(parcel, kind=found.kind, id=found.id, parent=found.parent)
    except (RemoteRefused, Missing):
        return parcel
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _send(home: Home, remote: Remote, keys: Keys, clock: Clock, known: ledger.Ledger, entry: Waiting, done: Pushed,
          say: Callable[[str], None]) -> ledger.Ledger:
    what = {"kind": entry.kind, "id": entry.id}
    published = next((parcel for parcel in known.parcels if (parcel.kind, parcel.id) == (entry.kind, entry.id)), None)
    if entry.sealed is None or published is None or published.sheet != entry.sealed.sheet:
        try:
            entry = _sealed(home, keys, entry)
        except FileNotFoundError:
            outbox.done(home, entry)
            done.dropped.append(what | {"why": "it is not in this home any more"})
            return known
        except (IntegrityError, UsageError) as error:
            done.kept.append(what | {"why": error.message})
            return known
        assert entry.sealed is not None
        folder = outbox.sealed_folder(home)
        say(f"sending {entry.kind} {entry.id}, {sum(blob.size_bytes for blob in entry.sealed.blobs)} bytes")
        for blob in entry.sealed.blobs:
            remote.put(blob.name, folder / blob.sha256, outbox.note(folder, blob.sha256))
        known = ledger.write(home, known.with_parcel(Published(
            entry.sealed.sheet, tuple(entry.sealed.files.values()), entry.kind, entry.id, entry.sealed.parent,
            clock.stamp(), entry.sealed.to)))
    known = ledger.show(home, known, remote, keys)
    outbox.done(home, entry)
    done.sent.append(what)
    return known


def _sealed(home: Home, keys: Keys, entry: Waiting) -> Waiting:
    """The entry with blobs that all who are paired now can open; those it had are kept where they still are for all.

    Raises FileNotFoundError where what it names is gone, IntegrityError where that is not whole.
    """
    readers = [*keys.peers, keys.own]
    if outbox.whole(home, entry) and entry.sealed is not None and {machine.id for machine in readers} <= set(entry.sealed.to):
        return entry
    folder = outbox.sealed_folder(home)
    found, plain = _content(home, keys, entry)
    with new_folder(folder / "work") as work:
        blobs = {name: _seal(file, folder, work, keys, sheet.file_purpose(keys.own.id)) for name, file in plain.items()}
        content = replace(found, files=blobs).content()
        if len(content) > sheet.LIMIT_BYTES:
            raise UsageError(f"{entry.kind} {entry.id}: its sheet has {len(content)} bytes, at most {sheet.LIMIT_BYTES} travel")
        write_bytes(work / "sheet", content)
        last = _seal(work / "sheet", folder, work, keys, sheet.purpose(keys.own.id))
    return outbox.sealed(entry, Sealed(blobs, last, tuple(machine.id for machine in readers), found.parent))


def _seal(plain: Path, folder: Path, work: Path, keys: Keys, purpose: str) -> Blob:
    """`plain` sealed into `folder`, under the name of its own sha256."""
    target = work / f"{plain.name}.sealed"
    sha256 = envelope.seal(plain, target, keys, [*keys.peers, keys.own], purpose)
    size = target.stat().st_size
    with storage_errors(folder):
        os.replace(target, folder / sha256)
        fsync_folder(folder)
    return Blob(f"blobs/{sha256}", size)


def _content(home: Home, keys: Keys, entry: Waiting) -> tuple[Sheet, dict[str, Path]]:
    """(sheet without blobs, the files that travel by name). Raises FileNotFoundError, IntegrityError."""
    if entry.kind == MARKS:
        return Sheet(MARKS, entry.id, keys.own.id, None, {}, None, entry.marks), {}
    folder = home.adapter(entry.id) if entry.kind == ADAPTER else artefact.place(home, str(entry.where), entry.id)
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    if entry.kind == ADAPTER:
        if problems := manifest.problems(folder):
            raise IntegrityError(problems[0])
        document = manifest.read(folder)
        if strange := sorted(set(document["files"]) - {adapter.WEIGHTS, adapter.CONFIG}):
            raise IntegrityError(f"adapter {entry.id} holds {strange[0]}, which does not travel: only PEFT's two files do")
    else:
        if problems := artefact.problems(home, folder):
            raise IntegrityError(problems[0])
        document = artefact.read(folder)
    return Sheet(entry.kind, entry.id, keys.own.id, document, {}, _told(home, document)), {
        name: folder / name for name in document["files"]}


def _told(home: Home, document: dict) -> dict | None:
    """What travels of the night that made an adapter, where its record can be read."""
    with suppress(FileNotFoundError, IntegrityError, EdgeSleepError):
        if isinstance(document.get("night"), str):
            return sheet.told(read_json(home.night(document["night"]) / "record.json", "record"))
    return None
