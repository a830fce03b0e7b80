"""The integrity scan: every adapter, pointer, mark, record and database page of a home against what was promised. Reads only."""
from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest, marks, store
from edge_sleep.errors import EdgeSleepError, IntegrityError, Outcome
from edge_sleep.system import base_record
from edge_sleep.system.files import TEMPORARY, read_json, sha256_file
from edge_sleep.system.home import Home


@dataclass
class Scan:
    """What was looked at, by kind, and everything that is not as it should be."""

    checked: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def look(self, kind: str, of: Callable[..., list[str]], *given: Any) -> None:
        self.checked[kind] = self.checked.get(kind, 0) + 1
        try:
            found = of(*given)
        except EdgeSleepError as error:
            found = [error.message]
        except OSError as error:
            found = [f"{error.filename or kind} cannot be read: {error.strerror}"]
        self.problems += [problem for problem in found if problem not in self.problems]


def scan(home: Home) -> Scan:
    """Check everything in the home by itself; whether the base on this disk is the home's is for who knows where it lies."""
    found = Scan()
    adapters = manifest.readable(home)
    folders = [folder.name for folder in sorted(home.adapters.iterdir())
               if folder.is_dir() and not folder.name.startswith(".")] if home.adapters.is_dir() else []
    base = _base(home, found, bool(folders))
    for name in folders:
        found.look("adapters", _adapter, home, name, adapters, base)
    if home.current.is_file() or store.marked(home):
        found.look("pointer", _pointer, home, base)
    for file in [home.latest] * home.latest.is_file() + sorted(home.daily.glob("*.json")):
        found.look("marks", _mark, home, file, adapters)
    for folder in sorted(home.nights.iterdir()) if home.nights.is_dir() else []:
        if (folder / "record.json").is_file():
            found.look("records", _record, folder, adapters)
    if home.experiences.is_file():
        found.look("database", _database, home.experiences)
    return found


def _base(home: Home, found: Scan, needed: bool) -> dict[str, Any] | None:
    """The record of the home's base, where it can be believed."""
    known: dict[str, Any] = {}

    def look() -> list[str]:
        known.update(base_record.read(home))
        return []

    if home.base.is_file():
        found.look("base", look)
    elif needed:
        found.problems.append("base.json is missing: nothing says on which base the adapters grew")
    return known or None


def _adapter(home: Home, name: str, adapters: dict[str, dict], base: dict | None) -> list[str]:
    folder = home.adapter(name)
    found = manifest.problems(folder)
    if name not in adapters:
        return found
    document = adapters[name]
    if manifest.altered(document):
        found.append(f"adapter {name}: {manifest.NAME} does not match its sha256: a byte changed")
    if base is not None and document["base"]["sha256"] != base["sha256"]:
        found.append(f"adapter {name} grew on another base ({document['base']['source']}, {document['base']['sha256'][:12]}) "
                     f"than the home's ({base['sha256'][:12]})")
    if (parent := document["parent"]) is not None and not home.adapter(parent).is_dir():
        found.append(f"adapter {name} grew from {parent}, which is not here")
    listed = {*document["files"], manifest.NAME}
    found += [f"adapter {name}: no manifest lists {file.name}" for file in sorted(folder.iterdir())
              if file.name not in listed and not file.name.startswith(TEMPORARY)]
    return found


def _pointer(home: Home, base: dict | None) -> list[str]:
    pointer = store.current(home) or {}
    _, found = store.last_good(home)
    if base is not None and pointer["base"] != {key: base[key] for key in ("source", "sha256")}:
        found.append("current.json and base.json name different bases")
    for kind, entry in (pointer.get("exports") or {}).items():
        file = home.root / str(entry.get("path"))
        if not file.is_file() or sha256_file(file) != entry.get("sha256"):
            found.append(f"current.json: the {kind} export {entry.get('path')} is not what was promised")
    return found


def _mark(home: Home, file: Path, adapters: dict[str, dict]) -> list[str]:
    name = str(file.relative_to(home.root))
    mark = marks.read(file)
    if why := marks.wrong(home, mark, adapters):
        return [f"{name} {why}; the next night writes it anew"]
    pointer = store.read_damaged(home)
    now = file == home.latest or pointer is not None and file.stem == marks.day_of(pointer["promoted_at"])
    if now and (pointer is None or mark != marks.of(pointer)):
        return [f"{name} does not say what current.json says; the next night writes it anew"]
    return []


def _record(folder: Path, adapters: dict[str, dict]) -> list[str]:
    record = read_json(folder / "record.json", "record")
    name = f"the record of night {folder.name}"
    if not isinstance(record, dict) or record.get("format") != 1 or not {"outcome", "base", "parent", "candidate"} <= set(record):
        return [f"{name} is not a whole record"]
    if not isinstance(record["base"], (dict, type(None))):
        return [f"{name} does not say on which base"]
    found = []
    if record.get("night") != folder.name:
        found.append(f"{name} is that of {record.get('night')}")
    if record["outcome"] not in [outcome.value for outcome in Outcome]:
        found.append(f"{name} names the outcome {record['outcome']!r}, which there is not")
    made = adapters.get(str(record["candidate"]))
    told = (record["parent"], (record["base"] or {}).get("sha256"))
    if made is not None and made["night"] == folder.name and told != (made["parent"], made["base"]["sha256"]):
        found.append(f"{name} and the manifest of adapter {made['id']} differ in parent or base")
    return found


def _database(file: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        raise IntegrityError(f"{file.name} is damaged: {error}", "`edge-sleep restore` a backup") from error
    return [f"{file.name} is damaged: {line}" for line in said if line != "ok"]
