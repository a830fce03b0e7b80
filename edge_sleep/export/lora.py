"""What an adapter adds to each layer, read from its PEFT folder, and what another format could not carry, refused by name."""
from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError, ModelError
from edge_sleep.model import adapter
from edge_sleep.system.files import read_json

DORA = "use_dora"
_ROLLBACK = "`edge-sleep rollback` makes an earlier one current"
# Fields of PEFT's LoraConfig that change what the adapter computes, or the base under it, with the values that do not.
_PLAIN: dict[str, tuple[Any, ...]] = {
    DORA: (False, None), "bias": ("none", None), "modules_to_save": (None, []), "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None), "fan_in_fan_out": (False, None), "lora_bias": (False, None), "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}), "target_parameters": (None, []), "use_qalora": (False, None),
    "alora_invocation_tokens": (None, []), "arrow_config": (None,), "use_bdlora": (False, None), "velora_config": (None,),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", None),
}
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>A|B|magnitude_vector)(?:\.weight)?")


@dataclass(frozen=True)
class Module:
    """One adapted linear layer: a [r, in], b [out, r], DoRA's magnitude [out] where it has one; float32."""

    a: Any
    b: Any
    magnitude: Any = None


@dataclass(frozen=True)
class Lora:
    """An adapter. modules: by the name of the base's module, such as model.layers.0.self_attn.q_proj."""

    id: str
    rank: int
    alpha: float
    rslora: bool
    modules: Mapping[str, Module]

    @property
    def scale(self) -> float:
        """What B·A is multiplied with: alpha/r, or alpha/sqrt(r) where it is rank-stabilised."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def applied(self, name: str, weight: Any) -> Any:
        """The weight [out, in] of module `name` with the adapter in it, in its own type; computed in float32."""
        module = self.modules[name]
        whole = weight.float().addmm_(module.b, module.a, alpha=self.scale)
        if module.magnitude is not None:
            whole *= (module.magnitude / whole.norm(dim=1))[:, None]
        return whole.to(weight.dtype)


def read(folder: Path, form: str, carries: Collection[str] = (), base_sha256: str | None = None) -> Lora:
    """The adapter in `folder` (PEFT's layout and a manifest) for the format `form`, which also `carries` these extras.

    Raises IntegrityError where it is not whole, or grew on another base than `base_sha256`; ModelError naming what `form` cannot
    carry.
    """
    whole(folder, base_sha256)
    settings = read_json(folder / adapter.CONFIG, "adapter config")
    refuse(settings, form, carries)
    modules = _modules(adapter.check(folder), form, folder.name)
    ranks = {module.a.shape[0] for module in modules.values()}
    if ranks != {settings["r"]}:
        raise IntegrityError(f"adapter {folder.name} has matrices of rank {sorted(ranks)}, its {adapter.CONFIG} says "
                             f"{settings['r']}", _ROLLBACK)
    return Lora(folder.name, settings["r"], settings["lora_alpha"], bool(settings.get("use_rslora")), modules)


def whole(folder: Path, base_sha256: str | None = None) -> None:
    """Raise IntegrityError where the adapter is not what its manifest promised, or grew on another base."""
    if found := manifest.problems(folder):
        raise IntegrityError(f"adapter {folder.name} is not exported: {found[0]}", _ROLLBACK)
    grew_on = manifest.read(folder)["base"]
    if base_sha256 is not None and grew_on["sha256"] != base_sha256:
        raise IntegrityError(f"adapter {folder.name} grew on another base ({grew_on['source']}, {grew_on['sha256'][:12]}) than "
                             f"this home's ({base_sha256[:12]})", "export it from the home whose base it grew on")


def refuse(settings: Mapping[str, Any], form: str, carries: Collection[str] = ()) -> None:
    """Raise ModelError for the first thing in an adapter_config.json that `form` cannot carry."""
    if settings.get("peft_type") != "LORA":
        raise ModelError(f"{form} cannot carry an adapter of the kind {settings.get('peft_type')!r}: only LoRA",
                         "`edge-sleep export --to adapter` gives the PEFT folder as it is")
    for key, plain in _PLAIN.items():
        if key not in carries and settings.get(key) not in plain:
            raise ModelError(f"{form} cannot carry this adapter: {key} = {settings[key]!r}",
                             "export --to merged or adapter" if key == DORA else
                             "`edge-sleep export --to adapter` gives the PEFT folder as it is")


def _modules(tensors: Mapping[str, Any], form: str, name: str) -> dict[str, Module]:
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        match = _TENSOR.fullmatch(key)
        if match is None:
            raise ModelError(f"{form} cannot carry {key} of adapter {name}: it is not LoRA of a linear layer",
                             "`edge-sleep export --to adapter` gives the PEFT folder as it is")
        parts.setdefault(match["module"], {})[match["part"]] = tensor.float()
    for module, found in parts.items():
        a, b = found.get("A"), found.get("B")
        if a is None or b is None or a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
            raise IntegrityError(f"adapter {name} has no matching A and B for {module}", _ROLLBACK)
    return {module: Module(found["A"], found["B"], found.get("magnitude_vector")) for module, found in sorted(parts.items())}


def fits(lora: Lora, shapes: Mapping[str, tuple[int, ...]], form: str) -> None:
    """Raise ModelError where the adapter targets what the base has not; shapes: of the base's weights by name, [out, in]."""
    for module, weights in lora.modules.items():
        shape = shapes.get(f"{module}.weight")
        wanted = (weights.b.shape[0], weights.a.shape[1])
        if shape is None:
            raise ModelError(f"{form}: adapter {lora.id} targets {module}, which this base has not",
                             "it grew on another base, or the base's layers have other names in this format")
        if tuple(shape) != wanted:
            raise ModelError(f"{form}: adapter {lora.id} is for a {module} of {list(wanted)}, the base's is {list(shape)}",
                             "it grew on another base")
