"""The file that outlives a killed night: how each thing was and what it changes to, on the disk before it is changed."""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_sleep.system.files import fsync_folder, storage_errors, write_json

FORMAT = 1


@dataclass(frozen=True)
class Change:
    """One setting: the way it is changed, what it was before, what it is during the night."""

    setting: str
    by: str
    before: Any
    during: Any


def write(path: Path, changes: Sequence[Change]) -> None:
    """What is still to be put back; without any, the file goes."""
    if changes:
        write_json(path, {"format": FORMAT, "changes": [asdict(change) for change in changes]})
    elif path.exists():
        with storage_errors(path):
            path.unlink()
            fsync_folder(path.parent)


def read(path: Path, known: Callable[[Change], bool]) -> list[Change]:
    """known: whether there can be such a change; anything else is damage. Raises ValueError with what is wrong in it."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    if not isinstance(changes := document.get("changes"), list):
        raise ValueError("no list of changes")
    return [_change(entry, known) for entry in changes]


def _change(entry: Any, known: Callable[[Change], bool]) -> Change:
    if isinstance(entry, dict) and set(entry) == {"setting", "by", "before", "during"} \
            and isinstance(entry["setting"], str) and isinstance(entry["by"], str) and known(change := Change(**entry)):
        return change
    raise ValueError(f"not a change: {str(entry)[:80]}")


def set_aside(path: Path) -> Path:
    """Rename it, so that it can be looked at and stops no night."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    with storage_errors(path):
        os.replace(path, aside)
    return aside
