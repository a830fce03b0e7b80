"""Whether to train what was sent, and whether to believe what came back: each check has a name, each refusal says which.

Signatures and hashes say from whom something is; a paired machine may still be wrong, or in other hands. So nothing reaches
the trainer or the gate that is not exactly what a machine of this kind would have made: the settings that were asked, the
tensors of that base and rank, numbers that are finite, a manifest as this machine would have written it.
"""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Lora
from edge_sleep.errors import EdgeSleepError, ModelError, RemoteRefused
from edge_sleep.model import adapter
from edge_sleep.system import foreign
from edge_sleep.system.files import TEMPORARY, storage_errors, write_sealed
from edge_sleep.thor import bundle, weights
from edge_sleep.thor.job import Job, Result
from edge_sleep.thor.received import MOST, check_examples, check_settings, check_state
from edge_sleep.thor.weights import Form

_REFUSED = "it is not used; ask the machine it came from for a new one"
_MUST_SAY = {"r", "lora_alpha", "use_rslora", "use_dora", "target_modules", "peft_type",
             "base_model_name_or_path", "lora_dropout", "bias"}


def check_job(asked: Job, folder: Path, base_folder: Path) -> None:
    """All of an unpacked job, before it is trained on `base_folder` (whose sha256 the caller compared). Raises RemoteRefused."""
    check_settings(asked)
    check_examples(folder / bundle.EXAMPLES, asked.settings.train.epochs)
    if (folder / bundle.HELD_OUT).is_file():
        check_examples(folder / bundle.HELD_OUT, asked.settings.train.epochs)
    lora = asked.settings.lora
    if asked.parent is not None:               # its own rank and targets hold, whatever a fresh one would have now
        lora = _lora_of(folder / "parent" / adapter.CONFIG)
    wanted_config, wanted = fresh(base_folder, lora)
    if asked.parent is not None:
        what = "the adapter to go on from"
        check_adapter(folder / "parent", asked, wanted_config, wanted, what)
        _right_id(folder / "parent", asked.base.sha256, asked.parent, what)
    if asked.resume_step is not None:
        check_state(folder / "state", asked, wanted)


def check(result: Result, folder: Path, asked: Job, worker: str, parent_folder: Path | None, base_folder: Path) -> list[str]:
    """The unpacked result `folder` against the job; returns the names of the checks that held, for the record.

    worker: the id of the machine whose signature held. parent_folder: this home's own parent adapter. Raises RemoteRefused naming
    what does not hold.
    """
    what = "the result"
    for name, said, true in (("worker", result.worker, worker), ("job", result.job, asked.id),
                             ("base", result.base, asked.base.sha256), ("parent", result.parent, asked.parent)):
        if said != true:
            raise RemoteRefused(f"{what} is of another {name}: {str(said)[:16]}, not {str(true)[:16]}", _REFUSED)
    candidate = folder / "candidate"
    if parent_folder is None:
        wanted_config, wanted = fresh(base_folder, asked.settings.lora)
    else:
        wanted_config = json.loads((parent_folder / adapter.CONFIG).read_bytes())
        wanted = weights.forms(parent_folder / adapter.WEIGHTS, "this home's own parent")
    check_adapter(candidate, asked, wanted_config, wanted, what)
    _moved(candidate, parent_folder, result.train.steps, what)
    _right_id(candidate, asked.base.sha256, result.candidate, what)
    _right_manifest(candidate, result, asked, what)
    return ["signer", "job", "base", "parent", "settings", "tensors", "finite", "moved", "id", "manifest"]


def stage(result: Result, folder: Path, state: Path) -> None:
    """Make a checked candidate the night's own: state/candidate and candidate.json, as `train.session` leaves them."""
    staged, final = state / f"{TEMPORARY}candidate", state / "candidate"
    with storage_errors(state):
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(folder / "candidate", staged)
        for file in staged.iterdir():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
        write_sealed(state / "candidate.json", {"id": result.candidate})
        if final.exists():
            shutil.rmtree(final)
        os.replace(staged, final)


def check_adapter(folder: Path, asked: Job, wanted_config: Mapping[str, Any], wanted: Mapping[str, Form],
                  what: str) -> dict[str, Form]:
    """An adapter's configuration and tensors against those that this job makes on its base; returns its tensors' forms."""
    found = foreign.document((folder / adapter.CONFIG).read_bytes(), f"{what}: {adapter.CONFIG}", limit_bytes=1 << 20)
    if not isinstance(found, dict):
        raise RemoteRefused(f"{what}: {adapter.CONFIG} is no configuration", _REFUSED)
    _right_config(found, wanted_config, asked, what)
    forms = weights.forms(folder / adapter.WEIGHTS, what)
    weights.refuse_others(forms, wanted, what)
    weights.refuse_infinite(folder / adapter.WEIGHTS, what)
    return forms


def _right_config(found: dict[str, Any], wanted: Mapping[str, Any], asked: Job, what: str) -> None:
    """Key by key. One that is not there has PEFT's default: so machines with PEFT of other versions understand each other."""
    from peft import LoraConfig

    defaults = LoraConfig().to_dict()
    wanted = {**wanted, "base_model_name_or_path": asked.base.source}
    for key in sorted({*found, *wanted}):
        said, value = found.get(key, defaults.get(key)), wanted.get(key, defaults.get(key))
        if key not in found and key in _MUST_SAY:
            raise RemoteRefused(f"{what}: {adapter.CONFIG} does not say {key}", _REFUSED)
        if key == "peft_version" and isinstance(said, str) and len(said) < 80:
            continue
        if _plain(said) != _plain(value) or type(said) is not type(value):
            rather = "which was not asked" if key not in wanted else f"asked was {_short(value)}"
            raise RemoteRefused(f"{what}: {adapter.CONFIG} says {_short(key)[1:-1]} {_short(said)}, {rather}", _REFUSED)


def _plain(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, (list, set, tuple)) else value


def _short(value: Any) -> str:
    return ascii(value)[:80]


def _lora_of(file: Path) -> Lora:
    """The settings an adapter was made with, as far as they are settings; `check_adapter` then holds all of it against them."""
    what = f"the adapter to go on from: {adapter.CONFIG}"
    found = foreign.document(file.read_bytes(), what, limit_bytes=1 << 20)
    try:
        targets = found["target_modules"]
        lora = Lora(rank=found["r"], alpha=found["lora_alpha"], rslora=found["use_rslora"], dora=found["use_dora"],
                    dropout=found["lora_dropout"],
                    targets=targets if isinstance(targets, str) else ",".join(sorted(str(name) for name in targets)))
    except (KeyError, TypeError, ValidationError):
        raise RemoteRefused(f"{what} does not say rank, alpha and targets", _REFUSED) from None
    if lora.rank > MOST["lora.rank"] or lora.alpha > MOST["lora.alpha"]:
        raise RemoteRefused(f"{what} says rank {lora.rank} and alpha {lora.alpha}, which no adapter here has", _REFUSED)
    return lora


def fresh(base_folder: Path, lora: Lora) -> tuple[dict[str, Any], dict[str, Form]]:
    """(configuration, tensors) of a fresh adapter on this base, from its config.json alone: no weight is loaded."""
    import torch
    from peft import get_peft_model_state_dict
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        described = AutoConfig.from_pretrained(str(base_folder), local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(described, dtype=torch.float32)
        try:
            worn = adapter.attach_new(model, lora, 0)
        except ModelError as error:
            raise RemoteRefused(f"the job does not fit its base: {error.message}", "ask for what this base has") from None
        tensors = get_peft_model_state_dict(worn)
    config = worn.peft_config["default"].to_dict() | {"inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    return json.loads(json.dumps(plain, default=str)), {name: Form("F32", tuple(value.shape)) for name, value in tensors.items()}


def _moved(candidate: Path, parent: Path | None, steps: int, what: str) -> None:
    """As `train.gradient.check_moved`; without a parent it is B that began at zero."""
    import torch

    before = dict(weights.tensors(parent / adapter.WEIGHTS, "this home's own parent")) if parent else {}
    after = weights.tensors(candidate / adapter.WEIGHTS, what)
    still = [name for name, value in after
             if (torch.equal(value, before[name]) if parent else "lora_B" in name and not bool(value.any()))
             and not (steps == 1 and "lora_A" in name)]
    if still or steps == 0:
        first = ascii(min(still, default=""))
        raise RemoteRefused(f"{what}: nothing moved in {len(still)} tensors, first {first}: it was not trained", _REFUSED)


def _right_id(folder: Path, base_sha256: str, wanted: str, what: str) -> None:
    try:
        found = adapter.content_id(folder, base_sha256)
    except EdgeSleepError as error:
        raise RemoteRefused(f"{what}: {error.message}", _REFUSED) from None
    if found != wanted:
        raise RemoteRefused(f"{what}: its id {wanted} is not the hash of its content ({found})", _REFUSED)


def _right_manifest(folder: Path, result: Result, asked: Job, what: str) -> None:
    """Exactly what this machine would have written; only when it was made is the worker's to say."""
    document = foreign.document((folder / manifest.NAME).read_bytes(), f"{what}: {manifest.NAME}", limit_bytes=16 << 20)
    created = document.get("created") if isinstance(document, dict) else None
    wanted = manifest.sealed({
        "format": manifest.FORMAT, "id": result.candidate, "files": manifest.listed(folder), "base": asked.base.entry(),
        "parent": asked.parent, "night": asked.night, "created": created, "effect": {},
        "data": {"sha256": asked.files[bundle.EXAMPLES].sha256, "experiences": list(asked.experiences)}})
    if document != wanted or not isinstance(created, str) or not 20 <= len(created) <= 40:
        found = document if isinstance(document, dict) else {}
        odd = sorted(key for key in {*wanted, *found} if found.get(key) != wanted.get(key))
        raise RemoteRefused(f"{what}: {manifest.NAME} is not what was asked for: {', '.join(odd)[:120] or 'created'}", _REFUSED)
