"""A tiny model with biases that are not zero, adapters that move it, and a home that holds both."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.exports import settle

from edge_sleep.config import Lora as LoraSettings
from edge_sleep.device import detect
from edge_sleep.device.detect import Device
from edge_sleep.model import adapter, base
from edge_sleep.model.base import Base
from edge_sleep.system.home import Home
from tests import micro

CREATED = "2026-01-17T20:00:00+00:00"
ADAPTERS = {
    "r4 q,v": LoraSettings(rank=4, alpha=8, targets="q_proj,v_proj"),
    "r8 all-linear": LoraSettings(rank=8, alpha=16),
    "r16 rsLoRA": LoraSettings(rank=16, alpha=16, rslora=True),
}


def make_model(folder: Path, *, tied: bool = True, seed: int = 0) -> Path:
    """micro's model with random biases and norms, so that nothing that a converter forgets stays unseen."""
    import torch
    from transformers import AutoModelForCausalLM

    micro.make_model(folder, tied=tied, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(".bias"):
                value.normal_(0, 0.2)
            elif value.dim() == 1:
                value.normal_(1, 0.1)
            else:
                value.mul_(4)                       # of 0.02: a model whose answers are not all alike
    model.save_pretrained(folder)
    return folder


def add_adapter(home: Home, base_: Base, settings: LoraSettings, seed: int = 0, strength: float = 0.05) -> str:
    """A finished adapter in the home, as a night leaves it: both matrices random, manifest beside them; its id."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = adapter.attach_new(AutoModelForCausalLM.from_pretrained(base_.place.folder), settings, seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(0, strength)
    return settle(home, base_, model)


@dataclass(frozen=True)
class Tiny:
    """A home on the tiny model in float32, with one adapter of each kind."""

    home: Home
    base: Base
    device: Device
    adapters: dict[str, str]

    def judged(self, adapter_id: str | None) -> Any:
        """The model a gate would judge: the 4-bit base with the adapter on it."""
        loaded: Any = base.load(self.base, self.device).model
        return (adapter.attach_saved(loaded, self.home.adapter(adapter_id), trainable=False) if adapter_id else loaded).eval()


def make(root: Path, dtype: str = "float32", adapters: dict[str, LoraSettings] | None = None) -> Tiny:
    home = Home(root / "home").make()
    device = detect.choose(dtype)
    declared = base.declare(home, base.resolve(str(make_model(root / "model"))), device, CREATED)
    made = {name: add_adapter(home, declared, settings) for name, settings in (adapters or ADAPTERS).items()}
    return Tiny(home, declared, device, made)
