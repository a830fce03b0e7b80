"""The manifest of an adapter: what its files must hash to, where it came from, what it changes.

Written last into the staged folder: a folder without a whole manifest was never finished.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import publish_folder, read_json, sha256_file, write_json

FORMAT = 1
NAME = "manifest.json"


def write(folder: Path, *, adapter_id: str, base: dict, parent: str | None, night: str, created: str,
          data: dict, effect: dict) -> dict:
    """Hash every file in `folder` and write its manifest; returns it.

    data: {"sha256", "experiences": [ids]} of what was taught. effect: the canary's logits against the base.
    """
    files = {file.name: {"sha256": sha256_file(file), "bytes": file.stat().st_size}
             for file in sorted(folder.iterdir()) if file.name != NAME}
    document = {"format": FORMAT, "id": adapter_id, "files": files, "base": base, "parent": parent,
                "night": night, "created": created, "data": data, "effect": effect}
    write_json(folder / NAME, document)
    return document


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an adapter folder. Raises IntegrityError where it is absent, torn or of another format."""
    file = folder / NAME
    if not file.is_file():
        raise IntegrityError(f"adapter {folder.name} has no {NAME}",
                             "`edge-sleep rollback` makes an earlier one current")
    document = read_json(file, "manifest")
    missing = {"format", "id", "files", "base", "parent", "night"} - set(document)
    if missing or document["format"] != FORMAT:
        raise IntegrityError(f"manifest {file} lacks {', '.join(sorted(missing)) or f'format {FORMAT}'}")
    return document


def problems(folder: Path) -> list[str]:
    """Everything on disk that is not what the manifest promised; empty where the adapter is whole."""
    try:
        document = read(folder)
    except IntegrityError as error:
        return [error.message]
    found = []
    if document["id"] != folder.name:
        found.append(f"folder {folder.name} holds the manifest of {document['id']}")
    for name, promised in document["files"].items():
        file = folder / name
        if not file.is_file():
            found.append(f"adapter {folder.name}: {name} is missing")
        elif file.stat().st_size != promised["bytes"]:
            found.append(f"adapter {folder.name}: {name} has {file.stat().st_size} bytes, not {promised['bytes']}")
        elif sha256_file(file) != promised["sha256"]:
            found.append(f"adapter {folder.name}: {name} does not match its sha256: a byte changed")
    return found


def publish(staged: Path, final: Path, effect: dict) -> None:
    """Complete the staged manifest with what the judge measured, and give the folder its final name."""
    document = read(staged)
    write_json(staged / NAME, document | {"effect": effect})
    publish_folder(staged, final)
