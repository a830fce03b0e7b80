"""The `sync_config.json` of the proposal and of SAGE's repository as settings of `sync`: pure, with what became of each line."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from edge_sleep.errors import UsageError
from edge_sleep.sync.roles import ROLES, traffic

# Roles that file knows and this program does not, with what comes nearest.
_OTHER_ROLES = {"inference": "development"}
_OF_RAISING = "raising_checkpoints"
_WORDS = ("hostname", "description")


@dataclass
class Imported:
    """settings: of section sync, as they are to be written. became: (what stood there, what it became); lost: (what stood there,
    why it is not carried over)."""

    machine: str
    settings: dict[str, Any] = field(default_factory=dict)
    became: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict:
        return {"machine": self.machine, "settings": self.settings, "became": [list(line) for line in self.became],
                "lost": [list(line) for line in self.lost]}


def carried_over(document: Any, machine: str) -> Imported:
    """What the file says of `machine`. Raises UsageError where it is no such file, or has no such machine."""
    machines = document.get("machines") if isinstance(document, dict) else None
    if not isinstance(machines, dict) or not all(isinstance(of, dict) for of in machines.values()):
        raise UsageError("this is no sync_config.json: it has no `machines`", "name the file that was in SAGE's dropbox/ folder")
    if machine not in machines:
        raise UsageError(f"it knows no machine {machine!r}", f"--machine is one of {', '.join(sorted(machines))}")
    found = Imported(machine)
    _machine(found, machines[machine])
    for name in machines:
        if name != machine:
            found.lost.append((f"machines.{name}", "another machine: it imports its own; `edge-sleep thor pair` pairs the two"))
    paths = document.get("sync_paths")
    if isinstance(paths, dict):
        _paths(found, paths)
    for key in document:
        if key not in ("machines", "sync_paths"):
            found.lost.append((key, "edge_sleep does not know it"))
    return found


def _machine(found: Imported, of: dict[str, Any]) -> None:
    place = f"machines.{found.machine}"
    role = str(of.get("role", ""))
    mine = role if role in ROLES else _OTHER_ROLES.get(role)
    if mine is None:
        found.lost.append((f"{place}.role = {role!r}", f"no role of edge_sleep: it has {', '.join(ROLES)}; sync.role stays"))
    else:
        found.settings["role"] = mine
        found.became.append((f"{place}.role = {role!r}", f"sync.role: {mine}"
                             + ("" if mine == role else ", which fetches and sends nothing")))
    plain = traffic("folder:/", mine) if mine else None
    uploads = [key for key in ("auto_upload", "auto_upload_raising") if key in of]
    for key, setting, by_role in (*((key, "auto_upload", plain and plain.sends) for key in uploads),
                                  ("auto_download", "auto_download", plain and plain.fetches)):
        if key not in of:
            continue
        value = of[key]
        if not isinstance(value, bool):
            found.lost.append((f"{place}.{key} = {value!r}", "not true or false"))
            continue
        value = value or found.settings.get(setting, False)
        if value == by_role:
            found.became.append((f"{place}.{key} = {str(of[key]).lower()}", f"what sync.role {mine} does anyway"))
        else:
            found.settings[setting] = value
            found.became.append((f"{place}.{key} = {str(of[key]).lower()}", f"sync.{setting}: {str(value).lower()}"))
    for setting, does in (("auto_upload", plain and plain.sends), ("auto_download", plain and plain.fetches)):
        said = setting in of or setting == "auto_upload" and bool(uploads)
        if does and not said:                      # there, what is not said is not done
            found.settings[setting] = False
            found.became.append((f"{place}: no {setting}", f"sync.{setting}: false"))
    for key in of:
        if key in _WORDS:
            found.lost.append((f"{place}.{key}", "a word for people; a machine is known by its keys"))
        elif key not in ("role", "auto_upload", "auto_upload_raising", "auto_download"):
            found.lost.append((f"{place}.{key}", "edge_sleep does not know it"))


def _paths(found: Imported, paths: dict[str, Any]) -> None:
    for name, of in paths.items():
        place = f"sync_paths.{name}"
        if name != _OF_RAISING or not isinstance(of, dict):
            found.lost.append((place, "only adapters of nights travel: no transcripts, data sets, logs or configurations"))
            continue
        remote = of.get("dropbox")
        if isinstance(remote, str) and remote.startswith("/") and ".." not in PurePosixPath(remote).parts:
            found.settings["remote"] = f"dropbox:{remote}"
            found.became.append((f"{place}.dropbox = {remote!r}", f"sync.remote: dropbox:{remote}"))
        elif remote is not None:
            found.lost.append((f"{place}.dropbox = {remote!r}", "no path in a Dropbox"))
        why = {"local": "adapters lie in the home's adapters/, and are found there",
               "patterns": "files are not chosen by pattern: an accepted adapter travels whole, as safetensors; *.pt and *.pth "
                           "are pickles, which are never read",
               "max_size_mb": "what travels is an adapter of a few MB; `edge-sleep sync prune` lets go of old ones",
               "description": "a word for people"}
        for key in of:
            if key != "dropbox":
                found.lost.append((f"{place}.{key}", why.get(key, "edge_sleep does not know it")))
