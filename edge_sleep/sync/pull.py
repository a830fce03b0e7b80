"""Fetching what other machines published: list, sheets, files, each believed only as far as it was verified.

What one machine, or whoever holds the folder, did wrong is named and ends that machine's or that parcel's part alone. Nothing
that was pulled becomes current by it.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError, RemoteRefused, SyncError, UsageError
from edge_sleep.export import artefact
from edge_sleep.model.base import Base
from edge_sleep.remote.protocol import Missing, Remote
from edge_sleep.seal.keys import Keys
from edge_sleep.seal.machine import Machine
from edge_sleep.sync import arrival, backoff, ledger, outbox, received, sheet
from edge_sleep.sync.outbox import received as provenance
from edge_sleep.sync.sheet import ADAPTER, EXPORT, MARKS, Sheet
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home


@dataclass
class Pulled:
    """What came of a pull. left: not taken, with why, which may change; refused: not to be trusted, with what is wrong."""

    machines: list[dict] = field(default_factory=list)
    fetched: list[dict] = field(default_factory=list)
    here: int = 0
    left: list[dict] = field(default_factory=list)
    refused: list[dict] = field(default_factory=list)

    def as_json(self) -> dict:
        return vars(self)


@dataclass(frozen=True)
class Here:
    """What decides about a parcel on this side. exports: kinds of base exports that are wanted; asked: ids named by a person."""

    base_sha256: str
    adapters: frozenset[str]
    let_go: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()


def pull(home: Home, base: Base, remote: Remote, keys: Keys, clock: Clock, *, exports: Collection[str] = (),
         asked: Collection[str] = (), say: Callable[[str], None] = lambda _: None) -> Pulled:
    """Fetch what paired machines published and this home can use: adapters of its base, parents first, and base exports of the
    kinds named. asked: ids that are fetched though they were here before and were let go.

    Raises SyncError (40) where the remote does not answer; what came so far stays, and is gone on with. Busy where another syncs.
    """
    done = Pulled()
    with lock.hold(home.sync_lock, "a sync"):
        try:
            _pull(home, base, remote, keys, clock, exports, asked, done, say)
        except SyncError as error:
            backoff.note(outbox.backoff_file(home), error, clock, keys.own.id)
            raise
        received.looked(home, clock)
    return done


def _pull(home: Home, base: Base, remote: Remote, keys: Keys, clock: Clock, exports: Collection[str], asked: Collection[str],
          done: Pulled, say: Callable[[str], None]) -> None:
    sheets: list[tuple[Machine, Sheet]] = []
    wanted: set[str] = set()
    all_known = True
    for machine in keys.peers:
        parcels = _of_machine(home, remote, keys, machine, done)
        all_known = all_known and parcels is not None
        for parcel, found in parcels or ():
            wanted |= {blob.sha256 for blob in parcel.blobs}
            if found is not None:
                sheets.append((machine, found))
    _unknown(remote, keys, done)
    if all_known:                                  # a list that is refused or gone today may be good tomorrow
        received.sweep(home, wanted)
    take, left = choose([found for _, found in sheets], _here(home, base, exports, asked))
    done.here = sum(found.kind != MARKS for _, found in sheets) - len(take) - len(left)
    done.left += [_named(found) | {"why": why} for found, why in left]
    names = {machine.id: machine.name for machine in keys.peers}
    missed: set[str] = set()
    for found in take:
        if found.parent in missed:
            missed.add(found.id)
            done.left.append(_named(found) | {"why": f"it grew from {found.parent}, which did not arrive"})
            continue
        say(f"fetching {found.kind} {found.id} of {names[found.machine]}")
        try:
            _take(home, base, remote, keys, found, names[found.machine], clock)
            done.fetched.append(_named(found))
        except Missing as error:
            missed.add(found.id)
            done.left.append(_named(found) | {"why": error.message})
        except RemoteRefused as error:
            missed.add(found.id)
            done.refused.append(_named(found) | {"why": error.message})


def choose(found: Iterable[Sheet], here: Here) -> tuple[list[Sheet], list[tuple[Sheet, str]]]:
    """(what to take, parents first; what to leave, with why). What is here already is in neither."""
    take: list[Sheet] = []
    left: list[tuple[Sheet, str]] = []
    coming: set[str] = set()
    open_ones: dict[str, Sheet] = {}
    for one in found:
        if one.kind == MARKS or one.id in here.adapters or one.id in here.made or one.id in open_ones:
            continue
        if one.base["sha256"] != here.base_sha256:
            left.append((one, f"it is of another base ({one.base['source']}, {one.base['sha256'][:12]}) than this home's "
                              f"({here.base_sha256[:12]})"))
        elif one.kind == EXPORT:
            kind = str((one.manifest or {}).get("kind"))
            if kind in here.exports or one.id in here.asked:
                take.append(one)
            else:
                left.append((one, f"a base export for {kind}: `edge-sleep sync pull --exports` fetches it"))
        elif one.id in here.let_go and one.id not in here.asked:
            left.append((one, "it was here and was let go: `edge-sleep sync pull --adapter` fetches it again"))
        else:
            open_ones[one.id] = one
    while ready := [one for one in open_ones.values()
                    if one.parent is None or one.parent in here.adapters or one.parent in coming]:
        for one in ready:
            coming.add(one.id)
            take.append(open_ones.pop(one.id))
    left += [(one, f"it grew from {one.parent}, which is neither here nor offered") for one in open_ones.values()]
    return take, left


def _of_machine(home: Home, remote: Remote, keys: Keys, machine: Machine,
                done: Pulled) -> list[tuple[ledger.Published, Sheet | None]] | None:
    """Each parcel that a machine lists, with its sheet where that can be had and believed; None where it is not known what it
    lists."""
    entry: dict[str, Any] = {"id": machine.id, "name": machine.name, "serial": None, "parcels": 0, "latest": None}
    done.machines.append(entry)
    try:
        listed = ledger.listed(remote, machine.id, keys)
        if listed is None:
            if received.seen(home, machine.id).serial >= 0:
                done.left.append({"machine": machine.id, "why": f"the list of {machine.name} is gone from the remote"})
                return None
            return []
        received.newer(home, listed)
    except (RemoteRefused, IntegrityError) as error:
        done.refused.append({"machine": machine.id, "why": error.message})
        return None
    found = []
    for parcel in listed.parcels:
        one = None
        try:
            one = _sheet(home, remote, keys, machine, parcel)
            if one.kind == MARKS:
                received.marked(home, one)
        except Missing as error:
            done.left.append({"machine": machine.id, "why": error.message})
        except RemoteRefused as error:
            done.refused.append({"machine": machine.id, "why": error.message})
        found.append((parcel, one))
    entry |= {"serial": listed.serial, "parcels": len(listed.parcels), "latest": received.seen(home, machine.id).latest}
    return found


def _sheet(home: Home, remote: Remote, keys: Keys, machine: Machine, parcel: ledger.Published) -> Sheet:
    if (known := received.opened(home, machine.id, parcel.sheet)) is not None:
        return known
    target = home.received / "blobs" / f"{parcel.sheet.sha256}.sheet"
    try:
        arrival.unsealed(remote, home, parcel.sheet, target, keys, machine.id, sheet.purpose(machine.id), sheet.LIMIT_BYTES)
        found = sheet.read(target.read_bytes(), machine.id)
    finally:
        target.unlink(missing_ok=True)
    if set(parcel.files) != set(found.files.values()):
        raise RemoteRefused(f"parcel {found.id} of machine {machine.id} and the list that names it differ in its files")
    received.keep(home, parcel.sheet, found)
    return found


def _unknown(remote: Remote, keys: Keys, done: Pulled) -> None:
    """Machines that publish here and are not paired with this one: named, not read."""
    paired = {keys.own.id, *(machine.id for machine in keys.peers)}
    for entry in remote.list("machines/"):
        identity = entry.name.split("/")[1]
        if entry.name == ledger.place(identity) and identity not in paired:
            done.left.append({"machine": identity[:40], "why": "an unknown machine, not paired with this one: nothing of it is "
                              "read (`edge-sleep thor pair` on both, if it is yours)"})


def _here(home: Home, base: Base, exports: Collection[str], asked: Collection[str]) -> Here:
    def names(folder: Path) -> frozenset[str]:
        return frozenset(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")) \
            if folder.is_dir() else frozenset()

    def whole(folder: Path) -> bool:
        with suppress(IntegrityError):
            return bool(artefact.read(folder))
        return False

    made = frozenset(name for kind in ("onnx", "gguf") for name in names(home.exports / kind)
                     if whole(artefact.place(home, kind, name)))
    return Here(base.sha256, names(home.adapters), received.let_go(home), frozenset(exports), made, frozenset(asked))


def _take(home: Home, base: Base, remote: Remote, keys: Keys, found: Sheet, name: str, clock: Clock) -> None:
    if found.kind == EXPORT:
        arrival.export(home, remote, keys, found, base)
        return
    stamp = clock.stamp()
    arrival.adapt(home, remote, keys, found, base, lambda: received.came(home, found, name, stamp, arrived=False))
    received.came(home, found, name, stamp, arrived=True)


def _named(found: Sheet) -> dict:
    return {"kind": found.kind, "id": found.id, "machine": found.machine}


def offered(home: Home, prefix: str) -> str:
    """The one adapter of another machine whose id begins so, among the sheets that were opened. Raises UsageError."""
    ids = {found for found in catalogue(home) if found.startswith(prefix)}
    if len(ids) != 1:
        raise UsageError(f"{len(ids)} adapters of other machines begin with {prefix!r}", "`edge-sleep sync status` lists them")
    return ids.pop()


def known(home: Home, prefix: str) -> bool:
    """Whether an adapter of another machine that begins so was heard of in an earlier pull."""
    return any(found.startswith(prefix) for found in catalogue(home))


def catalogue(home: Home) -> Mapping[str, dict]:
    """Adapters of other machines that this home has heard of: {id: {"machine", "parent", "here", "received"}}."""
    found: dict[str, dict] = {}
    for file in sorted((home.received / "sheets").glob("*.json")):
        try:
            document = read_json(file, "sheet")
            one = sheet.read(file.read_bytes(), document["machine"])
        except (IntegrityError, RemoteRefused, LookupError, TypeError):
            continue
        if one.kind == ADAPTER:
            found[one.id] = {"machine": one.machine, "parent": one.parent, "here": home.adapter(one.id).is_dir(),
                             "received": provenance(home, one.id).is_file()}
    return found
