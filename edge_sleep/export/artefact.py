"""An artefact: one folder under exports/<kind>/ that another runtime loads, and the manifest that proves it.

Content-addressed: a base export is named by its recipe (base, quantisation, arithmetic, form), one of an adapter by the
adapter's id, so that what is there and whole is never made twice, and one made on a bigger machine is the same one.
"""
from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import DeviceError, IntegrityError
from edge_sleep.model.base import Base
from edge_sleep.system.files import TEMPORARY, canonical_json, fsync_folder, new_folder, publish_folder, read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1
_REQUIRED = {"format", "kind", "id", "recipe", "files", "base", "adapter", "needs", "sha256"}


@dataclass(frozen=True)
class Plan:
    """What is to be made. settings: what of the form decides the bytes, such as {"precision": "int8"}."""

    kind: str
    base: Base
    adapter: dict | None = None            # {"id", "sha256"} of the adapter in it; None: an export of the base
    settings: dict = field(default_factory=dict)
    needs: Made | None = None              # the base export that it works on

    @property
    def recipe(self) -> dict:
        return {"format": FORMAT, "kind": self.kind, "settings": self.settings, "adapter": (self.adapter or {}).get("sha256"),
                "base": {"sha256": self.base.sha256, "quantisation": self.base.quantisation,
                         "compute_dtype": self.base.compute_dtype}}

    @property
    def id(self) -> str:
        return self.adapter["id"] if self.adapter else f"base-{hashlib.sha256(canonical_json(self.recipe)).hexdigest()[:16]}"


@dataclass(frozen=True)
class Made:
    """An artefact on disk, with its manifest."""

    folder: Path
    document: dict

    @property
    def name(self) -> str:
        return f"{self.document['kind']}/{self.document['id']}"

    def entry(self, home: Home) -> dict:
        """As current.json names it."""
        file = self.folder / manifest.NAME
        return {"path": file.relative_to(home.root).as_posix(), "sha256": manifest.sha256_file(file)}


def place(home: Home, kind: str, name: str) -> Path:
    return home.exports / kind / name


def make(home: Home, plan: Plan, created: str, fill: Callable[[Path], dict | None]) -> tuple[Made, bool]:
    """(the artefact, whether it was made now): there and whole it is taken as it is, else `fill` writes it into a new folder.

    fill gets the empty folder and returns what the manifest should say besides. Nothing half written has the final name.
    """
    final = place(home, plan.kind, plan.id)
    if (there := existing(home, plan)) is not None:
        return there, False
    with new_folder(final) as staged:
        more = fill(staged) or {}
        document = manifest.sealed({
            "format": FORMAT, "kind": plan.kind, "id": plan.id, "recipe": plan.recipe, "files": manifest.listed(staged),
            "base": plan.base.entry(), "adapter": plan.adapter, "needs": _needs(plan.needs), "created": created,
            "fidelity": None, **more})
        write_json(staged / manifest.NAME, document)
        _out_of_the_way(final)
        publish_folder(staged, final)
    return Made(final, document), True


def existing(home: Home, plan: Plan, hashed: bool = True) -> Made | None:
    """What this plan would make, where it is there, whole and of the same recipe.

    hashed: False looks at its manifest and sizes only, which is enough to make something beside it, not to load it.
    """
    folder = place(home, plan.kind, plan.id)
    try:
        document = read(folder)
    except IntegrityError:
        return None
    if document["recipe"] != plan.recipe or document["needs"] != _needs(plan.needs) or not _sized(folder, document):
        return None
    return None if hashed and problems(home, folder) else Made(folder, document)


def _sized(folder: Path, document: dict) -> bool:
    return all((folder / name).is_file() and (folder / name).stat().st_size == of["bytes"]
               for name, of in document["files"].items())


def take(home: Home, plan: Plan, given: Path) -> Made:
    """A base export that another machine made (`given`: its folder), verified and copied into this home.

    Raises IntegrityError where it is not whole, or is of another base, quantisation, arithmetic or form than `plan` asks for.
    """
    document = read(given)
    if found := unlike(given, document):
        raise IntegrityError(f"{given} is not whole: {found[0]}", "copy it again from the machine that made it")
    if document["recipe"] != plan.recipe:
        wanted = {key: value for key, value in _flat(plan.recipe).items() if _flat(document["recipe"]).get(key) != value}
        other = ", ".join(f"{key} {_flat(document['recipe']).get(key)} where {value} is asked" for key, value in wanted.items())
        raise IntegrityError(f"{given} is not the export of this home's base: {other}",
                             f"make it with the same base and settings; it is then named {plan.id}")
    final = place(home, plan.kind, plan.id)
    with new_folder(final) as staged:
        shutil.copytree(given, staged, dirs_exist_ok=True)
        if found := unlike(staged, document):
            raise IntegrityError(f"{given} did not arrive whole: {found[0]}", "copy it again")
        _out_of_the_way(final)
        publish_folder(staged, final)
    return Made(final, document)


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an artefact. Raises IntegrityError where it is absent, torn, altered or of another format."""
    file = folder / manifest.NAME
    if not file.is_file():
        raise IntegrityError(f"export {folder.name} has no {manifest.NAME}", "`edge-sleep export` makes it again")
    document = read_json(file, "manifest")
    if not isinstance(document, dict) or _REQUIRED - set(document) or document["format"] != FORMAT \
            or not manifest.sound_files(document["files"]):
        raise IntegrityError(f"manifest {file} is not one of an export of format {FORMAT}", "`edge-sleep export` makes it again")
    if document != manifest.sealed(document):
        raise IntegrityError(f"manifest {file} does not match its sha256: a byte changed", "`edge-sleep export` makes it again")
    return document


def note(made: Made, **more: Any) -> Made:
    """The artefact with more in its manifest, such as what the comparison measured."""
    document = manifest.sealed(made.document | more)
    write_json(made.folder / manifest.NAME, document)
    return Made(made.folder, document)


def unlike(folder: Path, document: dict) -> list[str]:
    """What in the folder is not as its manifest says; what nobody promised counts too."""
    what = f"export {document['kind']}/{document['id']}"
    strange = sorted({file.name for file in folder.iterdir()} - {*document["files"], manifest.NAME})
    return manifest.unlike(folder, document["files"], what) + [f"{what}: no manifest lists {name}" for name in strange]


def problems(home: Home, folder: Path, base_sha256: str | None = None) -> list[str]:
    """Everything that speaks against loading an artefact: its files, its base export, its base. Empty where it is whole."""
    try:
        document = read(folder)
    except IntegrityError as error:
        return [error.message]
    what = f"export {document['kind']}/{document['id']}"
    found = [] if folder.name == document["id"] else [f"folder {folder.name} holds {what}"]
    found += unlike(folder, document)
    if base_sha256 is not None and document["base"]["sha256"] != base_sha256:
        found.append(f"{what} is of another base ({document['base']['source']}, {document['base']['sha256'][:12]}) "
                     f"than this home's ({base_sha256[:12]})")
    if (needs := document["needs"]) is not None:
        below = place(home, needs["kind"], needs["id"])
        try:
            under = read(below)
        except IntegrityError as error:
            return [*found, f"{what} works on {needs['kind']}/{needs['id']}: {error.message}"]
        if under["files"] != needs["files"]:
            found.append(f"{what} was made for another content of {needs['kind']}/{needs['id']}")
        found += problems(home, below, base_sha256)
    return found


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of what made an artefact."""
    return {package: metadata.version(package) for package in packages}


def missing_library(package: str, extra: str) -> DeviceError:
    return DeviceError(f"{package} is not installed, and this format needs it", f"`pip install edge_sleep[{extra}]`")


def _needs(made: Made | None) -> dict | None:
    return None if made is None else {key: made.document[key] for key in ("kind", "id", "files")}


def _out_of_the_way(final: Path) -> None:
    """What stands under the final name and is not whole makes room, under a name that the next start sweeps."""
    if final.exists():
        doomed = final.parent / f"{TEMPORARY}old-{final.name}.{os.getpid()}"
        os.replace(final, doomed)
        fsync_folder(final.parent)
        shutil.rmtree(doomed)


def _flat(recipe: dict, under: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= _flat(value, f"{under}{key}.") if isinstance(value, dict) else {f"{under}{key}": value}
    return flat
