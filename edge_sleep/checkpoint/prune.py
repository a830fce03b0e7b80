"""What retention lets go of in a home, and letting it go: adapters, old nights' details, exports, the cache of another base.

Everything goes by one rename to a name that the next start sweeps, children before what they grew from: a power
cut at any instant leaves a home whose every adapter still has all that it grew from.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.checkpoint import lineage, manifest, marks, retention, store
from edge_sleep.config import Retention
from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import TEMPORARY, fsync_folder, read_json, read_object, storage_errors
from edge_sleep.system.home import Home

RECORD = "record.json"


@dataclass(frozen=True)
class Item:
    """One thing with its fate. paths: what goes, which for a night is all but its record."""

    kind: str
    name: str
    kept: bool
    reason: str
    size_bytes: int
    paths: tuple[Path, ...]

    def as_json(self) -> dict:
        return {"kind": self.kind, "name": self.name, "kept": self.kept, "reason": self.reason, "bytes": self.size_bytes}


def survey(home: Home, settings: Retention) -> list[Item]:
    """Everything that retention decides about, in an order in which it may go. Reads only.

    Raises IntegrityError where current.json is damaged or points nowhere: what is not understood is not pruned.
    """
    current = store.incumbent(home)
    if current is not None and not home.adapter(current).is_dir():
        raise IntegrityError(f"current.json points at adapter {current}, which is not here: nothing is pruned",
                             "`edge-sleep rollback` to one that is, or `edge-sleep restore` a backup")
    going = [_item("adapter", decision.adapter, decision.kept, decision.reason, [home.adapter(decision.adapter)])
             for decision in decide(home, settings, current)]
    kept = {item.name for item in going if item.kept}
    return [*going, *_nights(home, settings, current), *_exports(home, current, kept), *_cache(home)]


def decide(home: Home, settings: Retention, current: str | None) -> list[retention.Decision]:
    """What retention says of this home's adapters, newest first."""
    manifests = manifest.readable(home)
    made = [retention.Made(name, document["parent"], str(document.get("created"))) for name, document in manifests.items()]
    pinned = {}
    for night in _unfinished(home):
        for file, key in (("plan.json", "parent"), ("candidate.json", "id")):
            if (night / "state" / file).is_file() and (named := read_json(night / "state" / file, "state of a night").get(key)):
                pinned[named] = f"the unfinished night {night.name} needs it"
    for file in home.outbox.glob("*-adapter-*.json"):
        pinned[file.stem.rpartition("-")[2]] = "it waits to be sent (`edge-sleep sync status`)"
    for folder in _folders(home.adapters):
        if folder.name not in manifests:
            pinned[folder.name] = "its manifest cannot be read; `edge-sleep verify --all` says more"
            try:
                made.append(retention.Made(folder.name, lineage.parent_of(home, folder.name), ""))
            except IntegrityError:
                made.append(retention.Made(folder.name, None, ""))
                pinned = {name: f"{folder.name} may have grown from it" for name in manifests} | pinned
    return retention.decide(made, current=current, pinned=pinned, daily=settings.daily, weekly=settings.weekly,
                            monthly=settings.monthly)


def carry_out(home: Home, items: Iterable[Item]) -> None:
    """Remove what is not kept. The caller holds the night lock; may be repeated after a power cut."""
    with storage_errors(home.root):
        going = [item for item in items if not item.kept]
        for item in [*(item for item in going if item.kind != "adapter"), *_children_first(home, going)]:
            if item.kind == "adapter":
                marks.forget(home, item.name)
            for path in item.paths:
                _remove(path, home.nights if item.kind == "night" else path.parent)
    store.rebuild(home)


def _children_first(home: Home, going: list[Item]) -> Iterator[Item]:
    adapters = {item.name: item for item in going if item.kind == "adapter"}
    while adapters:
        parents = {manifest.read(home.adapter(name))["parent"] for name in adapters}
        free = [name for name in adapters if name not in parents] or list(adapters)
        for name in free:
            yield adapters.pop(name)


def _remove(path: Path, beside: Path) -> None:
    """Out of sight in one rename into `beside`, then away; a file in one unlink."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = beside / f"{TEMPORARY}{path.name}.{os.getpid()}"
    os.replace(path, doomed)
    fsync_folder(beside)
    shutil.rmtree(doomed)


def _nights(home: Home, settings: Retention, current: str | None) -> Iterator[Item]:
    """Nights with details, newest first; the record of each stays for good: later nights and lineages read it."""
    busy = {folder.name for folder in _unfinished(home)}
    made_current = manifest.read(home.adapter(current))["night"] if current in manifest.readable(home) else None
    for index, folder in enumerate(sorted(_folders(home.nights), reverse=True)):
        details = sorted(path for path in folder.iterdir() if path.name != RECORD)
        if folder.name in busy:
            kept, reason = True, "it is unfinished"
        elif folder.name == made_current:
            kept, reason = True, "it made the current adapter"
        else:
            kept, reason = index < settings.nights, f"one of the newest {settings.nights}"
        if details or not (folder / RECORD).is_file():
            reason = reason if kept else f"older than the newest {settings.nights}; its record stays"
            yield _item("night", folder.name, kept, reason, details or [folder])


def _exports(home: Home, current: str | None, kept: set[str]) -> Iterator[Item]:
    """Exports of adapters; those of the base are made once and have no adapter's name."""
    manifests = manifest.readable(home)
    before = manifests[current]["parent"] if current in manifests else None
    pointer = store.current(home) or {}
    named = {Path(str(entry.get("path"))).parent.as_posix() for entry in (pointer.get("exports") or {}).values()}
    for folder in sorted(path for kind in _folders(home.exports) for path in _folders(kind)):
        adapter, name = folder.name, f"{folder.parent.name}/{folder.name}"
        if f"exports/{name}" in named or adapter == current:
            yield _item("export", name, True, "of the current adapter", [folder])
        elif adapter == before:
            yield _item("export", name, True, "of the adapter that a rollback makes current", [folder])
        elif len(adapter) != 16 or not set(adapter) <= set("0123456789abcdef"):
            yield _item("export", name, True, "of no adapter", [folder])
        else:
            whose = "an adapter that is not current" if adapter in kept else "an adapter that goes or is gone"
            yield _item("export", name, False, f"of {whose}", [folder])


def _cache(home: Home) -> Iterator[Item]:
    """4-bit weights of a base that is not the home's, and what a power cut left; the rest saves time and stays."""
    known = read_object(home.base, "base record", "sha256")["sha256"][:16] if home.base.is_file() else ""
    for path in sorted(home.cache.iterdir()) if home.cache.is_dir() else []:
        if path.name.startswith(TEMPORARY):
            yield _item("cache", path.name, False, "half written", [path])
        elif path.name.startswith("base-"):
            kept = path.name.startswith(f"base-{known}-")
            yield _item("cache", path.name, kept, "the home's base" if kept else "another base", [path])


def _unfinished(home: Home) -> list[Path]:
    return [folder for folder in _folders(home.nights) if (folder / "state" / "plan.json").is_file()]


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")] if folder.is_dir() else []


def _item(kind: str, name: str, kept: bool, reason: str, paths: list[Path]) -> Item:
    return Item(kind, name, kept, reason, sum(map(_size, paths)), tuple(paths))


def _size(path: Path) -> int:
    files = [path] if path.is_symlink() or not path.is_dir() else [file for file in path.rglob("*") if not file.is_dir()]
    return sum(file.lstat().st_size for file in files)
