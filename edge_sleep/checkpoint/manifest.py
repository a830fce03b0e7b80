"""The manifest of an adapter: what its files must hash to, where it came from, what it changes.

Written last into the staged folder: a folder without a whole manifest was never finished.
"""
from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError
from edge_sleep.system.files import TEMPORARY, publish_folder, read_json, sealed, sha256_file, write_json
from edge_sleep.system.home import Home

FORMAT = 1
NAME = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
_WITHOUT_SEAL = {"format", "id", "files", "base", "parent", "night", "created", "data", "effect"}


def write(folder: Path, *, adapter_id: str, base: dict, parent: str | None, night: str, created: str,
          data: dict, effect: dict) -> dict:
    """Hash every file in `folder` and write its manifest; returns it.

    data: {"sha256", "experiences": [ids]} of what was taught. effect: the canary's logits against the base.
    """
    document = sealed({"format": FORMAT, "id": adapter_id, "files": listed(folder), "base": base, "parent": parent,
                       "night": night, "created": created, "data": data, "effect": effect})
    write_json(folder / NAME, document)
    return document


def listed(folder: Path) -> dict[str, dict]:
    """Every file in `folder` but its manifest and what a kill left half written: {name: {"sha256", "bytes"}}."""
    return {file.name: {"sha256": sha256_file(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir()) if file.name != NAME and not file.name.startswith(TEMPORARY)}


def unlike(folder: Path, promised: dict[str, dict], what: str) -> list[str]:
    """What in `folder` is not what `listed` promised of it, each begun with `what`."""
    found = []
    for name, of in promised.items():
        file = folder / name
        if not file.is_file():
            found.append(f"{what}: {name} is missing")
        elif file.stat().st_size != of["bytes"]:
            found.append(f"{what}: {name} has {file.stat().st_size} bytes, not {of['bytes']}")
        elif sha256_file(file) != of["sha256"]:
            found.append(f"{what}: {name} does not match its sha256: a byte changed")
    return found


def altered(document: dict) -> bool:
    """Whether a manifest is not what was sealed; those of the first homes have no seal."""
    return bool(set(document) - _WITHOUT_SEAL) and document != sealed(document)


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an adapter folder. Raises IntegrityError where it is absent, torn or of another format."""
    file = folder / NAME
    if not file.is_file():
        raise IntegrityError(f"adapter {folder.name} has no {NAME}",
                             "`edge-sleep rollback` makes an earlier one current")
    document = read_json(file, "manifest")
    if not isinstance(document, dict):
        raise IntegrityError(f"manifest {file} is not a manifest")
    missing = {"format", "id", "files", "base", "parent", "night"} - set(document)
    if missing or document["format"] != FORMAT:
        raise IntegrityError(f"manifest {file} lacks {', '.join(sorted(missing)) or f'format {FORMAT}'}")
    if not _sound(document):
        raise IntegrityError(f"manifest {file} does not say which files, base and parent")
    return document


def _sound(document: dict) -> bool:
    """Whether what others read from a manifest without asking is there."""
    files, base, parent = document["files"], document["base"], document["parent"]
    return (sound_files(files) and WEIGHTS in files and isinstance(document["id"], str)
            and isinstance(base, dict) and isinstance(base.get("sha256"), str) and isinstance(base.get("source"), str)
            and (parent is None or isinstance(parent, str)))


def sound_files(files: Any) -> bool:
    """Whether this is what `listed` gives: plain names, each with its sha256 and size."""
    return isinstance(files, dict) and all(
        isinstance(name, str) and Path(name).name == name and isinstance(of, dict) and isinstance(of.get("sha256"), str)
        and isinstance(of.get("bytes"), int) for name, of in files.items())


def problems(folder: Path, name: str | None = None) -> list[str]:
    """Everything on disk that is not what the manifest promised; empty where the adapter is whole.

    name: the adapter's, where the folder has another.
    """
    try:
        document = read(folder)
    except IntegrityError as error:
        return [error.message]
    found = [] if document["id"] == (name or folder.name) else [f"folder {folder.name} holds the manifest of {document['id']}"]
    return found + unlike(folder, document["files"], f"adapter {folder.name}")


def contents(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(manifest, the bytes of every file it lists), read once: what was hashed is what the caller has in its hands.

    Raises IntegrityError naming the first file that is not what was promised.
    """
    document = read(folder)
    files = {}
    for name, promised in document["files"].items():
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            raise IntegrityError(f"adapter {folder.name}: {name} is missing") from None
        if len(content) != promised["bytes"]:
            raise IntegrityError(f"adapter {folder.name}: {name} has {len(content)} bytes, not {promised['bytes']}")
        if hashlib.sha256(content).hexdigest() != promised["sha256"]:
            raise IntegrityError(f"adapter {folder.name}: {name} does not match its sha256: a byte changed")
        files[name] = content
    return document, files


def publish(staged: Path, final: Path, effect: dict) -> None:
    """Complete the staged manifest with what the judge measured, and give the folder its final name."""
    document = read(staged)
    write_json(staged / NAME, sealed(document | {"effect": effect}))
    publish_folder(staged, final)


def readable(home: Home) -> dict[str, dict]:
    """The manifests of a home that can be read, by adapter."""
    found = {}
    for folder in sorted(home.adapters.iterdir()) if home.adapters.is_dir() else []:
        if folder.is_dir() and not folder.name.startswith("."):
            with suppress(IntegrityError):
                found[folder.name] = read(folder)
    return found


def named(document: dict) -> dict:
    """An adapter as current.json names it, from its manifest."""
    return {"id": document["id"], "sha256": document["files"][WEIGHTS]["sha256"], "path": f"adapters/{document['id']}"}
