"""What of this machine's own may go from a remote, and letting it go: by a person's word alone, out of the list before the blobs.

Nothing that a list of any paired machine still builds on goes; nothing at all where one of those lists cannot be believed.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError, RemoteRefused, UsageError
from edge_sleep.remote.protocol import Missing, Remote
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import ledger, outbox, received
from edge_sleep.sync.ledger import Ledger, Published
from edge_sleep.sync.sheet import ADAPTER, MARKS
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home


@dataclass(frozen=True)
class Item:
    """One parcel of this machine's with its fate."""

    parcel: Published
    kept: bool
    reason: str

    def as_json(self) -> dict:
        return {"kind": self.parcel.kind, "id": self.parcel.id, "kept": self.kept, "reason": self.reason,
                "bytes": sum(blob.size_bytes for blob in self.parcel.blobs)}


@dataclass(frozen=True)
class Others:
    """What other machines' lists build on. named: adapter -> why it must stay; offered: adapters that they publish themselves;
    unclear: why not all of it is known, where it is not."""

    named: dict[str, str]
    offered: frozenset[str]
    unclear: str | None = None


def decide(parcels: Sequence[Published], here: Collection[str], parents: dict[str, str | None], others: Others,
           withdrawn: Collection[str] = ()) -> list[Item]:
    """Pure. here: adapters and exports in this home. parents: of this home's published adapters, as far as they are known.
    withdrawn: ids that a person named, which go with all that grew from them, unless another machine builds on them.

    Raises UsageError where what was named cannot go.
    """
    gone = set(withdrawn)
    while more := {parcel.id for parcel in parcels if parcel.id and parents.get(parcel.id) in gone} - gone:
        gone |= more
    for identity in gone:
        if others.unclear or identity in others.named:
            raise UsageError(f"{identity} cannot be withdrawn: {others.unclear or others.named[identity]}",
                             "prune on that machine first")
    fate: dict[str, tuple[bool, str]] = {}
    # Children before what they grew from: a parent stays as long as one of them does.
    for parcel in sorted(parcels, key=lambda parcel: -_depth(str(parcel.id), parents)):
        identity = str(parcel.id)
        child = next((other for other, of in parents.items() if of == identity and fate.get(other, (False,))[0]), None)
        fate[parcel.sheet.name] = fate[identity] = (
            (True, "its content is not known to this home") if parcel.kind is None else
            (True, "the newest marks") if parcel.kind == MARKS else
            (False, "withdrawn by name, or grown from what was") if identity in gone else
            (True, "it is in this home") if identity in here else
            (True, f"{child} grew from it, and stays") if child else
            (False, "another machine publishes it as well") if identity in others.offered and not others.unclear else
            (True, others.unclear) if others.unclear else
            (True, others.named[identity]) if identity in others.named else
            (False, "it is not in this home any more, and nothing builds on it"))
    return [Item(parcel, *fate[parcel.sheet.name]) for parcel in parcels]


def _depth(identity: str, parents: dict[str, str | None]) -> int:
    depth, seen = 0, {identity}
    while (above := parents.get(identity)) is not None and above not in seen:
        identity, depth = above, depth + 1
        seen.add(above)
    return depth


def others(home: Home, remote: Remote, keys: Keys) -> Others:
    """What the lists of all paired machines say, by sheets that were opened in a pull. Raises SyncError."""
    named: dict[str, str] = {}
    offered: set[str] = set()
    for machine in keys.peers:
        try:
            listed = ledger.listed(remote, machine.id, keys)
            if listed is not None:
                received.newer(home, listed)
        except (RemoteRefused, IntegrityError) as error:
            return Others(named, frozenset(offered), f"what {machine.name} builds on is not known: {error.message}")
        if listed is None and received.seen(home, machine.id).serial >= 0:
            return Others(named, frozenset(offered), f"the list of {machine.name} is gone from the remote")
        for parcel in listed.parcels if listed is not None else ():
            found = received.opened(home, machine.id, parcel.sheet)
            if found is None:
                return Others(named, frozenset(offered), f"not all parcels of {machine.name} were looked at: "
                                                         "`edge-sleep sync pull` first")
            if found.kind == MARKS:
                for mark in (found.marks or {}).get("latest"), *((found.marks or {}).get("daily") or {}).values():
                    if isinstance(mark, dict) and isinstance(mark.get("adapter"), str):
                        named.setdefault(mark["adapter"], f"{machine.name} has it as latest or daily")
            elif found.kind == ADAPTER:
                offered.add(found.id)
                if found.parent:
                    named[found.parent] = f"{found.id} of {machine.name} grew from it"
    return Others(named, frozenset(offered))


def prune(home: Home, remote: Remote, keys: Keys, clock: Clock, withdrawn: Collection[str] = (), carry_out: bool = False) -> dict:
    """{"done", "items", "left_over": blobs that no list names, "removed_bytes"}; removes only with `carry_out`.

    Raises SyncError; what was begun is gone on with by the next one.
    """
    with lock.hold(home.sync_lock, "a sync"):
        known = ledger.read(home)
        if strange := sorted(set(withdrawn) - {str(parcel.id) for parcel in known.parcels}):
            raise UsageError(f"{', '.join(strange)} is not among what this machine published",
                             "`edge-sleep sync status --json` lists it")
        here = {path.name for folder in (home.adapters, *home.exports.glob("*")) if folder.is_dir() for path in folder.iterdir()}
        items = decide(known.parcels, here, _parents(home, known), others(home, remote, keys), withdrawn)
        going = [item.parcel for item in items if not item.kept]
        after = known.without(going) if going else known
        sizes = {entry.name: entry.size_bytes for entry in remote.list("blobs/")}
        over = [name for name in after.left_over if name in sizes]
        if carry_out:
            outbox.drop(home, [str(parcel.id) for parcel in going])
            _remove(home, remote, keys, ledger.write(home, after))
        return {"done": carry_out, "items": [item.as_json() for item in items], "left_over": len(over),
                "removed_bytes": sum(sizes[name] for name in over)}


def _remove(home: Home, remote: Remote, keys: Keys, known: Ledger) -> None:
    """The list first: whoever reads it meanwhile is told of nothing that goes."""
    if known.serial != known.shown:
        known = ledger.show(home, known, remote, keys)
    waiting = {blob.name for entry in outbox.waiting(home) if entry.sealed for blob in entry.sealed.blobs}
    left = [name for name in known.left_over if name in waiting]
    for name in known.left_over:
        if name not in waiting:
            with suppress(Missing):
                remote.delete(name)
    ledger.write(home, replace(known, left_over=tuple(left)))


def _parents(home: Home, known: Ledger) -> dict[str, str | None]:
    """Of what this machine published: by the manifests that are here, and by the ledger's memory of what is not."""
    found: dict[str, str | None] = dict(known.parents)
    for name, document in manifest.readable(home).items():
        found[name] = document["parent"]
    return found
