"""latest.json and daily/YYYYMMDD.json: what is current, and what was at the end of each day that changed it.

For people and other programs; nothing in edge_sleep loads by them. Derived from current.json and the manifests.
"""
from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1


def of(pointer: dict) -> dict[str, Any]:
    """The mark that says what current.json says."""
    return {"format": FORMAT, **{key: pointer[key] for key in ("adapter", "night", "promoted_at")}}


def rebuild(home: Home, pointer: dict) -> None:
    """Write the marks anew where they are lost, damaged, or name what is not there.

    A whole mark of an earlier day stays: it may tell of a rollback, which no manifest knows of.
    """
    adapters = manifest.readable(home)
    found = {file.stem: read(file) for file in home.daily.glob("*.json")}
    daily = {day: mark for day, mark in found.items() if not wrong(home, mark, adapters)}
    made = {day: mark for day, mark in _made(pointer, adapters).items() if day in found or not daily}
    daily = made | daily
    if day := day_of(pointer["promoted_at"]):
        daily[day] = of(pointer)
    for day in set(found) - set(daily):
        (home.daily / f"{day}.json").unlink()
    for file, mark in ((home.latest, of(pointer)), *((home.daily / f"{day}.json", mark) for day, mark in daily.items())):
        if not file.is_file() or file.read_bytes() != _as_written(mark):
            write_json(file, mark)


def _made(pointer: dict, adapters: dict[str, dict]) -> dict[str, dict]:
    """For each day the newest adapter made on it that the current one grew from: each of them was current once."""
    marks: dict[str, dict] = {}
    seen: set[str] = set()
    identity = (pointer["adapter"] or {}).get("id")
    while identity in adapters and identity not in seen:
        seen.add(identity)
        document = adapters[identity]
        if (day := day_of(document.get("created"))) and len(seen) > 1:
            marks.setdefault(day, of({"adapter": manifest.named(document), "night": document["night"],
                                      "promoted_at": document["created"]}))
        identity = document["parent"]
    return marks


def forget(home: Home, adapter_id: str) -> None:
    """Remove the daily marks that name an adapter: before it goes, so that none ever points nowhere."""
    for file in home.daily.glob("*.json"):
        mark = read(file)
        if isinstance(mark, dict) and isinstance(mark.get("adapter"), dict) and mark["adapter"].get("id") == adapter_id:
            file.unlink()


def read(file: Path) -> Any:
    """What a mark says; None where it cannot be read."""
    try:
        return read_json(file, "mark")
    except IntegrityError:
        return None


def wrong(home: Home, mark: Any, adapters: dict[str, dict]) -> str | None:
    """What is wrong with a mark, as the end of a sentence that begins with its name; None where it stands."""
    if not isinstance(mark, dict) or mark.get("format") != FORMAT or not {"adapter", "night", "promoted_at"} <= set(mark):
        return "is not a whole mark"
    if mark["adapter"] is None:
        return None
    identity = mark["adapter"].get("id") if isinstance(mark["adapter"], dict) else None
    if not isinstance(identity, str) or Path(identity).name != identity:
        return "is not a whole mark"
    if not home.adapter(identity).is_dir():
        return f"points at adapter {identity}, which is not here"
    if identity in adapters and mark["adapter"] != manifest.named(adapters[identity]):
        return f"names another content for adapter {identity}"
    return None


def day_of(stamp: Any) -> str | None:
    """YYYYMMDD of a time as it was stamped, where it is one."""
    try:
        return datetime.fromisoformat(stamp).strftime("%Y%m%d")
    except (TypeError, ValueError):
        return None


def _as_written(mark: dict) -> bytes:
    return (json.dumps(mark, indent=1, ensure_ascii=False) + "\n").encode()
