"""What this home knows of other machines: the number of the last list it saw of each, the sheets it opened, what came of whom."""
from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError, RemoteRefused
from edge_sleep.sync import sheet
from edge_sleep.sync.ledger import Listed
from edge_sleep.sync.outbox import received as provenance
from edge_sleep.sync.sheet import Blob, Sheet
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json, sweep_temporaries, write_bytes, write_json
from edge_sleep.system.home import Home

FORMAT = 1
_ADAPTER = re.compile(r"[0-9a-f]{16}")
_SHEET = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Seen:
    """The last list of a machine that was believed. marks: what it said is current there, as {"latest": id, "promoted_at"}."""

    serial: int = -1
    sha256: str = ""
    parcels: int = 0
    latest: str | None = None
    promoted_at: str | None = None


def _file(home: Home, machine: str) -> Path:
    return home.received / "machines" / f"{machine}.json"


def seen(home: Home, machine: str) -> Seen:
    """Raises IntegrityError where it is damaged: without it an old list could not be told from a new one."""
    try:
        found = read_json(_file(home, machine), "what was seen of a machine")
        return Seen(found["serial"], found["sha256"], found["parcels"], found["latest"], found["promoted_at"])
    except FileNotFoundError:
        return Seen()
    except (LookupError, TypeError) as error:
        raise IntegrityError(f"{_file(home, machine)} does not say what was seen of machine {machine}", "remove it: its next "
                             "list is then believed, whatever its number") from error


def newer(home: Home, listed: Listed) -> None:
    """Remember a list, before anything that it names is fetched. Raises RemoteRefused where it is an old one put back."""
    before = seen(home, listed.machine)
    if listed.serial < before.serial:
        raise RemoteRefused(f"the list of machine {listed.machine} on the remote is number {listed.serial}, {before.serial} was "
                            "seen already: somebody put an old one back, or a backup was restored there",
                            "`edge-sleep sync push` on that machine shows its list anew")
    if listed.serial == before.serial and listed.sha256 != before.sha256:
        raise RemoteRefused(f"machine {listed.machine} has two lists of number {listed.serial}: two boards use the same keys, or "
                            "a backup was restored there", "`edge-sleep sync push` on that machine shows its list anew")
    if listed.serial > before.serial:
        _write(home, listed.machine, Seen(listed.serial, listed.sha256, len(listed.parcels), before.latest, before.promoted_at))


def marked(home: Home, found: Sheet) -> None:
    """Remember what a machine says is current there."""
    latest = (found.marks or {}).get("latest")
    identity = latest.get("adapter") if isinstance(latest, dict) else None
    stamp = latest.get("promoted_at") if isinstance(latest, dict) else None
    if identity is not None and not (isinstance(identity, str) and _ADAPTER.fullmatch(identity)):
        raise RemoteRefused(f"the marks of machine {found.machine} name an adapter in a way that edge_sleep does not")
    before = seen(home, found.machine)
    now = Seen(before.serial, before.sha256, before.parcels, identity, stamp if isinstance(stamp, str) else None)
    if now != before:
        _write(home, found.machine, now)


def _write(home: Home, machine: str, now: Seen) -> None:
    write_json(_file(home, machine), {"format": FORMAT, **vars(now)})


def opened(home: Home, machine: str, named: Blob) -> Sheet | None:
    """A sheet that was opened before. What is damaged here is fetched again."""
    try:
        return sheet.read(_sheet(home, named).read_bytes(), machine)
    except (FileNotFoundError, RemoteRefused):
        return None


def keep(home: Home, named: Blob, found: Sheet) -> None:
    write_bytes(_sheet(home, named), found.content())


def _sheet(home: Home, named: Blob) -> Path:
    return home.received / "sheets" / f"{named.sha256}.json"


def came(home: Home, found: Sheet, name: str, stamp: str, arrived: bool) -> None:
    """Write down from whom an adapter is: before it is visible, so that it is never taken for one made here, and again after."""
    write_json(provenance(home, found.id), {"format": FORMAT, "id": found.id, "machine": found.machine, "name": name, "at": stamp,
                                            "arrived": arrived, "parent": found.parent, "record": found.record})


def let_go(home: Home) -> frozenset[str]:
    """Adapters that were received, and that this home has removed since. The caller holds the sync lock."""
    gone = set()
    for file in sorted((home.received / "adapters").glob("*.json")):
        found = origin(home, file.stem)
        if found is not None and home.adapter(file.stem).is_dir() and not found["arrived"]:
            write_json(file, found | {"arrived": True})        # a cut came between the two
        elif found is not None and found["arrived"] and not home.adapter(file.stem).is_dir():
            gone.add(file.stem)
    return frozenset(gone)


def origin(home: Home, adapter_id: str) -> dict[str, Any] | None:
    """From whom an adapter was received; None for one that was made here."""
    try:
        found = read_json(provenance(home, adapter_id), "origin of an adapter")
    except (FileNotFoundError, IntegrityError):
        return None
    return found if isinstance(found, dict) and {"machine", "name", "at", "arrived"} <= set(found) else None


def looked(home: Home, clock: Clock) -> None:
    """Write down that all machines' lists were looked at now."""
    write_json(home.received / "looked.json", {"at": clock.stamp(), "wall": clock.now().timestamp()})


def looked_seconds_ago(home: Home, clock: Clock) -> float:
    """Since the last whole pull; infinite where there was none, or where the clock went back behind it."""
    try:
        passed = clock.now().timestamp() - read_json(home.received / "looked.json", "time of the last pull")["wall"]
    except (FileNotFoundError, IntegrityError, LookupError, TypeError):
        return math.inf
    return passed if passed >= 0 else math.inf


def used(home: Home, entry: dict[str, Any]) -> None:
    """Write down that an adapter from elsewhere was made current, by whom and after which proof."""
    file = home.received / "used.json"
    before = read_json(file, "list of what was made current") if file.is_file() else []
    write_json(file, [*before, entry])


def sweep(home: Home, wanted: set[str]) -> None:
    """Remove what a cut left half written, sheets that no list names any more, and fetched parts that nothing wants. wanted:
    sha256 of blobs. The caller holds the sync lock."""
    sweep_temporaries(home.received)
    for folder in ("sheets", "blobs", "machines", "adapters"):
        sweep_temporaries(home.received / folder)
    for folder in ("sheets", "blobs"):
        for file in list((home.received / folder).glob("*")):
            if file.is_file() and file.name.partition(".")[0] not in wanted:
                file.unlink()
