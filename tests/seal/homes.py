"""Machines with keys, in folders of a test; and what a folder holds, to be compared."""
from __future__ import annotations

import hashlib
from pathlib import Path

from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import ManualClock


def machine(folder: Path, name: str) -> Keys:
    return Keys.open(folder / name / "keys", name, ManualClock())


def paired(folder: Path, *names: str) -> list[Keys]:
    """Machines that all trust each other."""
    made = [machine(folder, name) for name in names]
    for one in made:
        for other in made:
            if one is not other:
                one.add(other.own)
    return made


def tree(folder: Path) -> dict[str, str]:
    """Everything below a folder, links not followed: its kind, mode and content."""
    found = {}
    for file in sorted(folder.rglob("*")):
        mode = f"{file.lstat().st_mode:o}"
        found[str(file.relative_to(folder))] = f"{mode} -> {file.readlink()}" if file.is_symlink() else (
            f"{mode} {hashlib.sha256(file.read_bytes()).hexdigest()}" if file.is_file() else mode)
    return found
