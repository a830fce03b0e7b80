"""Homes that have had nights, without any: real adapters on a base of two layers, in milliseconds. And machines that are paired."""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.checkpoint import manifest, store
from edge_sleep.model import adapter
from edge_sleep.model.base import Base, BaseSource, fingerprint
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import pull, push
from edge_sleep.system.clock import Clock, ManualClock
from edge_sleep.system.files import write_json
from edge_sleep.system.home import Home

# What people said; none of it may ever be found on a remote, sealed or not.
WORDS = ("Heron the boat lies in the harbour", "grandfather waters the ferns", "mint tea from the blue pot")
MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")
OUT, INNER, RANK = 8, 6, 2
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none", "task_type": "CAUSAL_LM",
          "target_modules": list(MODULES), "base_model_name_or_path": "/home/somebody/model", "inference_mode": True,
          "init_lora_weights": True, "use_dora": False, "use_rslora": False, "fan_in_fan_out": False, "megatron_core": "megatron.core",
          "auto_mapping": None, "modules_to_save": None}


def make_base(folder: Path, seed: int = 0) -> Base:
    """A base as far as its files go: the weights that adapters are for, by name and shape."""
    import torch
    from safetensors.torch import save_file
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    save_file({f"{module}.weight": torch.randn(OUT, INNER) for module in MODULES}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "none"}')
    (folder / "tokenizer.json").write_text("{}")
    place = BaseSource(str(folder), folder)
    return Base(place, fingerprint(place)[0], "float32")


@dataclass
class Machine:
    """One home with its keys. pushes and pulls through a folder."""

    home: Home
    base: Base
    keys: Keys
    clock: Clock
    remote: Path

    def open(self) -> FolderRemote:
        return FolderRemote(self.remote, clock=self.clock)

    def push(self, remote=None) -> push.Pushed:
        return push.push(self.home, remote or self.open(), self.keys, self.clock)

    def pull(self, remote=None, **more) -> pull.Pulled:
        return pull.pull(self.home, self.base, remote or self.open(), self.keys, self.clock, **more)

    def night(self, seed: int, parent: str | None | bool = True, scale: float = 1.0, **changes) -> str:
        """What a promoting night leaves: record, adapter, pointer; the id. parent: True is the current one."""
        number = len(list(self.home.nights.iterdir()))
        night = f"20260117-2300{number:02}"
        before = store.incumbent(self.home) if parent is True else parent
        staged = self.home.night(night) / "state" / "candidate"
        identity = grow(staged, self.base, seed, scale, **changes)
        manifest.write(staged, adapter_id=identity, base=self.base.entry(), parent=before or None, night=night,
                       created=self.clock.stamp(), data={"sha256": "d" * 64, "experiences": ["a" * 16]}, effect={})
        write_json(self.home.night(night) / "record.json", {
            "format": 1, "night": night, "outcome": "promoted", "reason": WORDS[0], "exit_code": 0, "started": self.clock.stamp(),
            "base": self.base.entry(), "parent": before, "candidate": identity, "phases": [{"name": "train", "seconds": 1.5,
                                                                                            "outcome": "done", "said": WORDS[1]}],
            "data": {"sessions": 1, "new": 4, "quarantined": {WORDS[2]: 1}, "sha256": "d" * 64},
            "train": {"steps": 12, "loss_first": 2.5, "loss_last": 1.5, "stop_reason": "finished"},
            "gate": {"verdict": "promoted", "reasons": [WORDS[1]], "metrics": {"recall": {"base": 0.0, "after": 0.9, "n": 30}},
                     "samples": [{"question": WORDS[0], "before": WORDS[1], "after": WORDS[2]}]}, "key": "not to be told"})
        final = self.home.adapter(identity)
        if not final.is_dir():
            manifest.publish(staged, final, {"canary_mean_abs_logit_difference": 0.1})
        store.promote(self.home, identity, base=self.base.entry(), chat_template="t", system_prompt="s", night=night,
                      clock=self.clock)
        return identity


def grow(folder: Path, base: Base, seed: int, scale: float = 1.0, *, config: dict | None = None, rank: int = RANK, out: int = OUT,
         modules=MODULES) -> str:
    """PEFT's two files with random matrices; the id of what they hold."""
    import torch
    from safetensors.torch import save
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in modules:
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(rank, INNER, generator=random)
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(out, rank, generator=random) * scale
    (folder / adapter.WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    (folder / adapter.CONFIG).write_text(json.dumps(config or CONFIG, indent=1, sort_keys=True) + "\n")
    if scale != scale:                                 # NaN has no name that edge_sleep would give
        return hashlib.sha256(str(seed).encode()).hexdigest()[:16]
    return adapter.content_id(folder, base.sha256)


def machine(folder: Path, base: Base, remote: Path, name: str = "", clock: Clock | None = None) -> Machine:
    """A home that is bound to `base`, with keys of its own."""
    clock = clock or ManualClock()
    home = Home(folder).make()
    files = fingerprint(base.place)[1]
    write_json(home.base, {"format": 1, "source": base.place.source, "sha256": base.sha256, "files": files,
                           "quantisation": base.quantisation, "compute_dtype": base.compute_dtype, "created": clock.stamp()})
    remote.mkdir(parents=True, exist_ok=True)
    return Machine(home, base, Keys.open(home.keys, name or folder.name, clock), clock, remote)


def pair(*machines: Machine) -> None:
    for one in machines:
        for other in machines:
            if one is not other:
                one.keys.add(other.keys.own)


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
