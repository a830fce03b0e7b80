"""state/power-intent.json: what was set before a change and what it changes to, on the disk before the change is made."""
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_sleep.system.files import fsync_folder, storage_errors, write_json

FORMAT = 1
# What a value of each setting is; anything else in the file is damage.
_TYPES: dict[str, type] = {"mode": str, "gpu_max_hertz": int, "fan_profile": dict, "jetson_clocks": str}
_WAYS = ("nvpmodel", "devfreq", "jetson_clocks", "jtop")


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


def read(path: Path) -> list[Change]:
    """Raises ValueError with what is wrong in it."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    if not isinstance(changes := document.get("changes"), list):
        raise ValueError("no list of changes")
    return [_change(entry) for entry in changes]


def _change(entry: Any) -> Change:
    if not isinstance(entry, dict) or set(entry) != {"setting", "by", "before", "during"}:
        raise ValueError(f"not a change: {str(entry)[:80]}")
    kind = _TYPES.get(str(entry["setting"]))
    if kind is None or entry["by"] not in _WAYS or type(entry["before"]) is not kind or type(entry["during"]) is not kind:
        raise ValueError(f"not a change: {str(entry)[:80]}")
    return Change(**entry)


def set_aside(path: Path) -> Path:
    """Rename it, so that it can be looked at and stops no night."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    with storage_errors(path):
        os.replace(path, aside)
    return aside
