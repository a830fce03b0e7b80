"""The adapter: plain PEFT LoRA, attached, checked, saved; identified by its content."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.config import Lora
from edge_sleep.device.shortage import out_of_memory
from edge_sleep.errors import IntegrityError, ModelError
from edge_sleep.system.files import canonical_json, write_bytes

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


def attach_bytes(model: Any, name: str, files: Mapping[str, bytes]) -> PeftModel:
    """The adapter whose files are in memory, on a base or beside the adapters of a PeftModel, active under `name`, frozen.

    What was hashed is what is loaded: nothing is read from the disk again. Raises IntegrityError where it does not parse, is
    not finite, or is not exactly the tensors that its configuration makes on this base; the model is then as it was.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    config, tensors = parsed(name, files)
    try:
        settings = PeftConfig.from_peft_type(**(config | {"inference_mode": True}))
        # A PeftModel writes into the configuration and the modules it is given; a failure below takes both back.
        worn = model if isinstance(model, PeftModel) else PeftModel(model, settings, adapter_name=name)
        try:
            if worn is model:
                worn.add_adapter(name, settings)
            wanted = get_peft_model_state_dict(worn, adapter_name=name)
            if odd := sorted(set(wanted) ^ set(tensors)):
                raise ValueError(f"{odd[0]} is {'missing' if odd[0] in wanted else 'not of this base'}")
            set_peft_model_state_dict(worn, tensors, adapter_name=name)
            worn.set_adapter(name)
            worn.requires_grad_(False)              # set_adapter makes the active one trainable
        except BaseException:
            worn.delete_adapter(name) if worn is model else worn.unload()
            raise
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        if out_of_memory(error):
            raise
        raise IntegrityError(f"adapter {name} does not fit this base: {str(error).strip().splitlines()[-1].strip()}",
                             "`edge-sleep rollback` makes an earlier one current") from error
    return worn.eval()


def check(folder: Path) -> dict[str, Any]:
    """Read the adapter's tensors and config without a model.

    Returns the tensors by name. Raises IntegrityError where a file is missing, does not parse, or
    holds a value that is not finite.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            _missing(folder, name)
    return parsed(folder.name, {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)})[1]


def parsed(name: str, files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(configuration, tensors by name) of an adapter's two files. Raises IntegrityError, as `check`."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    do = "`edge-sleep rollback` makes an earlier one current"
    try:
        config = json.loads(files[CONFIG])
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IntegrityError(f"adapter config of {name} is not readable JSON: {error}", do) from error
    if not isinstance(config, dict):
        raise IntegrityError(f"adapter config of {name} is not a configuration", do)
    try:
        tensors = load(files[WEIGHTS])
    except (SafetensorError, ValueError) as error:
        raise IntegrityError(f"adapter {name}: {WEIGHTS} is damaged: {error}", do) from error
    broken = [tensor for tensor, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise IntegrityError(f"adapter {name} holds values that are not finite: {broken[0]}", do)
    return config, tensors


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
    """The id of what a folder holds, on that base."""
    check(folder)
    return content_id_of({name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}, folder.name, base_sha256)


def content_id_of(files: Mapping[str, bytes], name: str, base_sha256: str) -> str:
    """First 16 hex of sha256 over the tensors (name, dtype, shape, bytes), the canonical config and the base."""
    import torch

    config, tensors = parsed(name, files)
    digest = hashlib.sha256()
    for tensor_name, tensor in sorted(tensors.items()):
        digest.update(f"{tensor_name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    digest.update(canonical_json(config))
    digest.update(base_sha256.encode())
    return digest.hexdigest()[:16]
