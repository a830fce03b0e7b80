"""A parcel's files become an adapter of this home: fetched, opened and checked out of sight, then visible in one rename.

Nothing that came is loaded before it was hashed; nothing is believed of a name, a shape or a number that can be looked at.
"""
from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import EdgeSleepError, IntegrityError, ModelError, RemoteRefused, StorageError
from edge_sleep.export import artefact
from edge_sleep.model import adapter
from edge_sleep.model.base import Base
from edge_sleep.model.tensors import TensorFile
from edge_sleep.remote.protocol import Missing, Remote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import ledger, sheet
from edge_sleep.sync.sheet import Blob, Sheet
from edge_sleep.system.files import new_folder, publish_folder, read_json, sha256_file, write_json
from edge_sleep.system.home import Home

_LARGEST_ADAPTER_BYTES = 4 << 30
_LARGEST_CONFIG_BYTES = 1 << 20
_KEEP_FREE_BYTES = 256 << 20
_LORA = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>A|B|magnitude_vector)(?:\.weight)?")
# Of PEFT's LoraConfig: what may say anything, for it is held against the tensors or changes no file. All else must be as plain.
_FREE = {"r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "base_model_name_or_path",
         "inference_mode", "peft_version", "task_type", "revision", "fan_in_fan_out", "ensure_weight_tying"}
_PLAIN: dict[str, tuple[Any, ...]] = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False),
                                      "megatron_core": ("megatron.core", None), "qalora_group_size": (16, None)}
_EMPTY: tuple[Any, ...] = (None, False, {}, [], "")


def blob(remote: Remote, home: Home, found: Blob) -> Path:
    """A sealed file, fetched and named by its hash. Raises Missing, RemoteRefused; what came of it is kept for the next try."""
    folder = home.received / "blobs"
    target = folder / found.sha256
    if not target.is_file():
        with ledger.not_ours():
            there = remote.stat(found.name)
        if there is None:
            raise Missing(f"{found.name} is not on the remote, or not yet")
        if there.size_bytes != found.size_bytes:
            raise RemoteRefused(f"{found.name} has {there.size_bytes} bytes on the remote, {found.size_bytes} were published")
        free = shutil.disk_usage(_made(folder)).free
        if free < found.size_bytes + _KEEP_FREE_BYTES:
            raise StorageError(f"{found.size_bytes} bytes are to be fetched, {free} are free at {folder}",
                               "free space on that disk")
        with ledger.not_ours():
            remote.get(found.name, target)
    if sha256_file(target) != found.sha256:
        target.unlink()
        raise RemoteRefused(f"{found.name} does not hash to its name: a byte was changed on the remote or on the way")
    return target


def unsealed(remote: Remote, home: Home, found: Blob, target: Path, keys: Keys, machine: str, purpose: str,
             limit_bytes: int) -> None:
    """What is sealed in a blob, as `machine` made it, at `target`. Raises RemoteRefused, Missing."""
    file = blob(remote, home, found)
    try:
        signer = envelope.unseal(file, target, keys, purpose, limit_bytes, archived=True)
        if signer.id != machine:
            target.unlink(missing_ok=True)
            raise RemoteRefused(f"{found.name} is of machine {signer.id} ({signer.name}) and stands in the list of {machine}")
    finally:
        file.unlink(missing_ok=True)


def adapt(home: Home, remote: Remote, keys: Keys, found: Sheet, base: Base, before: Callable[[], object] = lambda: None) -> None:
    """Make the parcel's adapter one of this home's; it is not current by that. before: done when it is whole and not yet visible.

    Raises RemoteRefused naming what is wrong with it, Missing where a part of it is not there yet.
    """
    limits = {adapter.WEIGHTS: _LARGEST_ADAPTER_BYTES, adapter.CONFIG: _LARGEST_CONFIG_BYTES}
    document = dict(found.manifest or {})
    if set(found.files) != set(limits):
        raise RemoteRefused(f"adapter {found.id} does not consist of PEFT's two files: {', '.join(sorted(found.files))[:120]}")
    with new_folder(home.received / "arriving") as place:
        staged = place / found.id
        staged.mkdir()
        _fill(staged, home, remote, keys, found, limits)
        write_json(staged / manifest.NAME, document)
        try:
            check(staged, base)
        except (IntegrityError, ModelError) as error:
            raise RemoteRefused(f"adapter {found.id} of machine {found.machine} is refused: {error.message}") from error
        before()
        if not home.adapter(found.id).exists():
            publish_folder(staged, home.adapter(found.id))


def check(folder: Path, base: Base) -> None:
    """Raise IntegrityError or ModelError, naming the first thing for which an adapter from elsewhere is not to be loaded here:
    manifest, hashes, base, kind of adapter, names, shapes and types of its tensors, finiteness, its name."""
    if problems := manifest.problems(folder):
        raise IntegrityError(problems[0])
    document = manifest.read(folder)
    if manifest.altered(document):
        raise IntegrityError("its manifest does not match its own sha256")
    if document["base"]["sha256"] != base.sha256:
        raise IntegrityError(f"it grew on another base ({document['base']['source']}, {document['base']['sha256'][:12]}) than "
                             f"this home's ({base.sha256[:12]})")
    settings = read_json(folder / adapter.CONFIG, "adapter config")
    _only_lora(settings)
    with TensorFile(folder / adapter.WEIGHTS) as file:
        _fits({name: (of["dtype"], tuple(of["shape"])) for name, of in file.entries.items()}, settings, _shapes(base))
    is_really = adapter.content_id(folder, base.sha256)        # parses every tensor, and finds what is not finite
    if is_really != folder.name:
        raise IntegrityError(f"it holds what would be named {is_really}")


def _only_lora(settings: Any) -> None:
    """Configuration decides what code PEFT runs: only plain LoRA (and DoRA) passes, whatever a future PEFT reads from it."""
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise ModelError("its configuration is not one of LoRA")
    for key, value in settings.items():
        if key not in _FREE and value not in _PLAIN.get(key, ()) and value not in _EMPTY:
            raise ModelError(f"its configuration says {key} = {str(value)[:60]!r}, which no night of edge_sleep writes")
    if type(settings.get("r")) is not int or not 0 < settings["r"] <= 4096:
        raise ModelError(f"its configuration says a rank of {str(settings.get('r'))[:20]!r}")


def _fits(tensors: Mapping[str, tuple[str, tuple[int, ...]]], settings: Mapping[str, Any],
          base: Mapping[str, tuple[int, ...]]) -> None:
    """Every tensor is a LoRA matrix of a module that this base has, in its shape and in the rank that the configuration says."""
    parts: dict[str, set[str]] = {}
    rank = settings["r"]
    for name, (dtype, shape) in tensors.items():
        match = _LORA.fullmatch(name)
        if match is None or dtype not in ("F32", "F16", "BF16"):
            raise IntegrityError(f"it holds {name[:120]} of type {dtype}, which is no matrix of LoRA")
        weight = _weight(match["module"], base)
        if weight is None or len(weight) != 2:
            raise IntegrityError(f"it is for {match['module'][:120]}, which this base has not")
        out, inner = reversed(weight) if settings.get("fan_in_fan_out") else weight
        wanted = {"A": (rank, inner), "B": (out, rank), "magnitude_vector": (out,)}[match["part"]]
        if tuple(shape) != wanted:
            raise IntegrityError(f"{name} has the shape {list(shape)}; on this base, at rank {rank}, it is {list(wanted)}")
        parts.setdefault(match["module"], set()).add(match["part"])
    expected = {"A", "B", *(["magnitude_vector"] if settings.get("use_dora") else [])}
    for module, found in parts.items():
        if found != expected:
            raise IntegrityError(f"{module} has {', '.join(sorted(found))} of {', '.join(sorted(expected))}")
    if not parts:
        raise IntegrityError("it holds no tensors")


def _weight(module: str, base: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape of a module's weight; some models' files leave out the first part of its name."""
    name = f"{module}.weight"
    while name not in base and "." in name.removesuffix(".weight"):
        name = name.partition(".")[2]
    return base.get(name)


def _shapes(base: Base) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for path in base.place.weight_files:
        with TensorFile(path) as file:
            found |= {name: tuple(of["shape"]) for name, of in file.entries.items()}
    return found


def export(home: Home, remote: Remote, keys: Keys, found: Sheet, base: Base) -> None:
    """Make the parcel's base export one of this home's. Raises RemoteRefused, Missing, as `adapt`."""
    document = dict(found.manifest or {})
    recipe = document.get("recipe")
    if document.get("kind") not in ("onnx", "gguf") or not isinstance(recipe, dict) \
            or not isinstance(recipe.get("settings"), dict):
        raise RemoteRefused(f"export {found.id} is not one that edge_sleep writes")
    plan = artefact.Plan(document["kind"], base, settings=recipe["settings"])
    with new_folder(home.received / "arriving") as place:
        staged = place / found.id
        staged.mkdir()
        _fill(staged, home, remote, keys, found, {name: of["bytes"] for name, of in document["files"].items()})
        write_json(staged / manifest.NAME, document)
        try:
            if plan.id != found.id:
                raise IntegrityError(f"it is named {found.id}, and would be {plan.id} by this home's base and its own settings")
            artefact.take(home, plan, staged)
        except EdgeSleepError as error:
            if isinstance(error, StorageError):
                raise
            raise RemoteRefused(f"export {found.id} of machine {found.machine} is refused: {error.message}") from error


def _fill(staged: Path, home: Home, remote: Remote, keys: Keys, found: Sheet, limits: Mapping[str, int]) -> None:
    files = dict((found.manifest or {})["files"])
    for name, of in found.files.items():
        promised = files[name]
        if promised["bytes"] > limits[name]:
            raise RemoteRefused(f"{name} of {found.id} is said to have {promised['bytes']} bytes, at most {limits[name]} are "
                                "taken")
        unsealed(remote, home, of, staged / name, keys, found.machine, sheet.file_purpose(found.machine), promised["bytes"])
        if (staged / name).stat().st_size != promised["bytes"] or sha256_file(staged / name) != promised["sha256"]:
            raise RemoteRefused(f"{name} of {found.id} is not what its manifest promises")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
