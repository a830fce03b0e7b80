"""The adapter: plain PEFT LoRA, attached, checked, saved; identified by its content."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.config import Lora
from edge_sleep.device.shortage import out_of_memory
from edge_sleep.errors import IntegrityError, ModelError
from edge_sleep.system.files import canonical_json, read_json, write_bytes

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def targets(spec: str) -> str | list[str]:
    """`all-linear` as PEFT means it, or a list of module names."""
    return spec if spec == "all-linear" else [name.strip() for name in spec.split(",") if name.strip()]


def attach_new(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """A fresh adapter: A random (Kaiming) from `seed`, B zero, so that it starts as the base itself.

    Raises ModelError where a target module does not exist in this model.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    named = targets(lora.targets)
    modules = [name for name, _ in model.named_modules()]
    lost = [] if isinstance(named, str) else [
        name for name in named if not any(f".{module}".endswith(f".{name}") for module in modules)]
    if lost or not named:
        why = "it has no " + ", ".join(lost) if lost else "lora.targets names no module"
        raise ModelError(f"LoRA does not fit this model: {why}",
                         "`--set lora.targets=all-linear`, or name modules that it has")
    torch.manual_seed(seed)
    settings = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=named, lora_dropout=lora.dropout,
                          use_rslora=lora.rslora, use_dora=lora.dora, bias="none", task_type="CAUSAL_LM")
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise ModelError(f"LoRA does not fit this model: {error}",
                         "`--set lora.targets=all-linear`, or name modules that it has") from error


def attach_saved(model: PreTrainedModel, folder: Path, *, trainable: bool, name: str = "default") -> PeftModel:
    """The adapter in `folder` on `model`; trainable continues its training."""
    from peft import PeftModel
    check(folder)
    try:
        return PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError) as error:
        if out_of_memory(error):
            raise
        raise IntegrityError(f"adapter {folder.name} does not fit this base: {str(error).strip().splitlines()[-1].strip()}",
                             "`edge-sleep rollback` makes an earlier one current") from error


def check(folder: Path) -> dict[str, Any]:
    """Read the adapter's tensors and config without a model.

    Returns the tensors by name. Raises IntegrityError where a file is missing, does not parse, or
    holds a value that is not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_json(folder / CONFIG, "adapter config") if (folder / CONFIG).is_file() else _missing(folder, CONFIG)
    if not (folder / WEIGHTS).is_file():
        _missing(folder, WEIGHTS)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise IntegrityError(f"adapter {folder.name}: {WEIGHTS} is damaged: {error}",
                             "`edge-sleep rollback` makes an earlier one current") from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise IntegrityError(f"adapter {folder.name} holds values that are not finite: {broken[0]}",
                             "`edge-sleep rollback` makes an earlier one current")
    return tensors


def _missing(folder: Path, name: str) -> None:
    raise IntegrityError(f"adapter {folder.name} lacks {name}", "`edge-sleep rollback` makes an earlier one current")


def save(model: PeftModel, folder: Path, base_source: str) -> None:
    """Write the PEFT layout (two files) to `folder`, which must be new.

    PEFT records the base by path; the name the user gave is written instead, so that the same
    training on two machines gives the same file.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save as serialise

    folder.mkdir(parents=True)
    tensors = {name: tensor.detach().to("cpu").contiguous()
               for name, tensor in sorted(get_peft_model_state_dict(model).items())}
    write_bytes(folder / WEIGHTS, serialise(tensors, metadata={"format": "pt"}))
    settings = model.peft_config["default"].to_dict()
    settings["base_model_name_or_path"] = base_source
    settings["inference_mode"] = True
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    write_bytes(folder / CONFIG, (json.dumps(plain, indent=1, sort_keys=True, default=str) + "\n").encode())


def content_id(folder: Path, base_sha256: str) -> str:
    """First 16 hex of sha256 over the tensors (name, dtype, shape, bytes), the canonical config and the base."""
    digest = hashlib.sha256()
    for name, tensor in sorted(check(folder).items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    digest.update(canonical_json(json.loads((folder / CONFIG).read_bytes())))
    digest.update(base_sha256.encode())
    return digest.hexdigest()[:16]
