"""What this machine has published: its own list, kept here and shown on the remote, signed, under a number that only grows.

The list here is written first and then shown, so that a cut between the two is mended by showing it again.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from edge_sleep.errors import IntegrityError, RemoteRefused, SyncError
from edge_sleep.remote.protocol import Missing, Remote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import sheet
from edge_sleep.sync.sheet import Blob
from edge_sleep.system.files import canonical_json, read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1
LIMIT_BYTES = envelope.DOCUMENT_LIMIT
_MOST_PARCELS = 20_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Published:
    """One parcel on the remote. kind, id, parent: of what it holds, known to who made it; None in a list just read."""

    sheet: Blob
    files: tuple[Blob, ...]
    kind: str | None = None
    id: str | None = None
    parent: str | None = None
    sent: str | None = None
    to: tuple[str, ...] = ()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (*self.files, self.sheet)

    def public(self) -> list:
        """What anybody who has the folder may see: hashes of sealed bytes, and sizes; the sheet's last."""
        return [[blob.sha256, blob.size_bytes] for blob in self.blobs]


@dataclass(frozen=True)
class Ledger:
    """serial: of the list as it should be; shown: of the one that is known to be on the remote, signed with `key`. left_over:
    names of blobs of this machine's that no list names any more, for a prune."""

    serial: int = 0
    shown: int = 0
    key: str = ""
    parcels: tuple[Published, ...] = ()
    left_over: tuple[str, ...] = ()

    def has(self, kind: str, identity: str) -> bool:
        return any((parcel.kind, parcel.id) == (kind, identity) for parcel in self.parcels)

    @property
    def parents(self) -> dict[str, str | None]:
        """Of each adapter on the list."""
        return {str(parcel.id): parcel.parent for parcel in self.parcels if parcel.kind == sheet.ADAPTER}

    def with_parcel(self, parcel: Published) -> Ledger:
        """The next list: the parcel at its end, in the place of one of the same content; of marks there is one."""
        gone = [old for old in self.parcels if old.kind == parcel.kind and (old.id == parcel.id or parcel.kind == sheet.MARKS)]
        return self.without(gone, (*(old for old in self.parcels if old not in gone), parcel))

    def without(self, gone: list[Published], kept: tuple[Published, ...] | None = None) -> Ledger:
        """The next list, in which these are named no more; their blobs are left over."""
        kept = kept if kept is not None else tuple(old for old in self.parcels if old not in gone)
        named = {blob.name for parcel in kept for blob in parcel.blobs}
        over = dict.fromkeys([*self.left_over, *(blob.name for old in gone for blob in old.blobs)])
        return replace(self, serial=self.serial + 1, parcels=kept, left_over=tuple(name for name in over if name not in named))


def read(home: Home) -> Ledger:
    """Raises IntegrityError where it is damaged."""
    file = home.outbox / "published.json"
    try:
        found = read_json(file, "list of what was published")
        return Ledger(found["serial"], found["shown"], found["key"], tuple(
            replace(_published(of["blobs"]), kind=of["kind"], id=of["id"], parent=of["parent"], sent=of["sent"],
                    to=tuple(of["to"]))
            for of in found["parcels"]), tuple(found["left_over"]))
    except FileNotFoundError:
        return Ledger()
    except (LookupError, TypeError, RemoteRefused) as error:
        raise IntegrityError(f"{file} is not a list of what was published", "move it away: `edge-sleep sync push` takes the one "
                             "that is on the remote") from error


def write(home: Home, ledger: Ledger) -> Ledger:
    write_json(home.outbox / "published.json", {
        "format": FORMAT, "serial": ledger.serial, "shown": ledger.shown, "key": ledger.key, "left_over": list(ledger.left_over),
        "parcels": [{"kind": parcel.kind, "id": parcel.id, "parent": parcel.parent, "sent": parcel.sent, "to": list(parcel.to),
                     "blobs": parcel.public()} for parcel in ledger.parcels]})
    return ledger


def _published(found: Any) -> Published:
    """A parcel as `Published.public` writes it. Raises RemoteRefused."""
    if not isinstance(found, list) or not 1 <= len(found) <= sheet.MOST_FILES + 1 or not all(
            isinstance(of, list) and len(of) == 2 and isinstance(of[0], str) for of in found):
        raise RemoteRefused("a list names a parcel in a way that edge_sleep does not")
    *files, last = (sheet.blob({"name": f"blobs/{of[0]}", "bytes": of[1]}) for of in found)
    return Published(last, tuple(files))


def place(machine: str) -> str:
    """Where a machine's list is on the remote."""
    return f"machines/{machine}/list.json"


def show(home: Home, ledger: Ledger, remote: Remote, keys: Keys) -> Ledger:
    """Make the remote's list this one: the last thing of every push, and what makes its parcels visible."""
    document = {"format": FORMAT, "machine": keys.own.id, "serial": ledger.serial,
                "parcels": [parcel.public() for parcel in ledger.parcels]}
    remote.publish(place(keys.own.id), envelope.sign(document, keys, _purpose(keys.own.id)), replace=True)
    return write(home, replace(ledger, shown=ledger.serial, key=keys.own.sign_key))


@contextmanager
def not_ours() -> Iterator[None]:
    """What a remote says of one thing on it, such as a link or a document without end, as a refusal of that thing alone."""
    try:
        yield
    except SyncError as error:
        if type(error) is not SyncError:               # the remote itself cannot be used just now, or has no such thing
            raise
        raise RemoteRefused(error.message, error.do) from error


@dataclass(frozen=True)
class Listed:
    """A machine's list as it was read, its signature good."""

    machine: str
    serial: int
    sha256: str
    parcels: tuple[Published, ...]


def listed(remote: Remote, machine: str, keys: Keys) -> Listed | None:
    """What a machine says it published; None where it never did. Raises RemoteRefused where that is not its word."""
    try:
        with not_ours():
            content = remote.read(place(machine), LIMIT_BYTES)
    except Missing:
        return None
    document, signer = envelope.opened(content, keys, _purpose(machine), archived=True)
    if signer.id != machine:
        raise RemoteRefused(f"the list of machine {machine} is signed by {signer.name} ({signer.id})")
    return _parsed(document, machine)


def _parsed(document: Any, machine: str) -> Listed:
    if isinstance(document, dict) and type(document.get("format")) is int and document["format"] > FORMAT:
        raise RemoteRefused(f"the list of machine {machine} is of format {document['format']}, newer than this edge_sleep reads "
                            f"({FORMAT})", "update edge_sleep on this machine")
    if not isinstance(document, dict) or set(document) != {"format", "machine", "serial", "parcels"} \
            or document["format"] != FORMAT or document["machine"] != machine or type(document["serial"]) is not int \
            or document["serial"] < 0 or not isinstance(document["parcels"], list) or len(document["parcels"]) > _MOST_PARCELS:
        raise RemoteRefused(f"the list of machine {machine} is not one that edge_sleep writes")
    parcels = tuple(map(_published, document["parcels"]))
    return Listed(machine, document["serial"], sha256(canonical_json(document)), parcels)


def _purpose(machine: str) -> str:
    return f"list:{machine}"
