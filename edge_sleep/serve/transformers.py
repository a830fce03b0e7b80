"""The runtime that was judged: the 4-bit base and a PEFT adapter, in transformers."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from edge_sleep.device.detect import Device
from edge_sleep.device.shortage import give_back
from edge_sleep.errors import IntegrityError
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.model.base import Base
from edge_sleep.serve.runtime import Options, Worn


class Transformers:
    """See `serve/runtime.py`."""

    name = "transformers"
    files: tuple[Path, ...] = ()

    def __init__(self, base: Base, device: Device):
        loaded = base_model.load(base, device)
        self.model: Any = loaded.model.eval()
        self.tokenizer: Any = loaded.tokenizer
        self._sha256_of: dict[str, str] = {}

    @property
    def active(self) -> str | None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [module for module in self.model.modules() if isinstance(module, BaseTunerLayer)]
        speaking = {name for layer in layers if not layer.disable_adapters for name in layer.active_adapters}
        if len(speaking) > 1:
            raise IntegrityError(f"several adapters speak at once: {', '.join(sorted(speaking))}")
        return next(iter(speaking), None)

    @property
    def artefact_sha256(self) -> str | None:
        return self._sha256_of.get(self.active or "")

    def changed(self) -> list[str]:
        return []

    @property
    def device(self) -> str:
        return str(self.model.device)

    @property
    def context_length(self) -> int | None:
        return base_model.context_length(self.model)

    @property
    def ends(self) -> frozenset[int]:
        return base_model.ends_of(self.model.generation_config.eos_token_id, self.tokenizer)

    def wear(self, new: Worn | None) -> None:
        old = self.active
        if new is None:
            self.model = self.model.unload() if hasattr(self.model, "peft_config") and old is not None else self.model
        elif new.id != old:
            self.model = adapter.attach_bytes(self.model, new.id, new.files)
            if old is not None:
                self.model.delete_adapter(old)
        self._sha256_of = {} if new is None else {new.id: new.sha256}

    def generate(self, ids: list[int], options: Options, on_token: Callable[[int], bool]) -> None:
        import torch

        prompt = torch.tensor([ids], device=self.model.device)
        watch = _Watch(len(ids), on_token)
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if options.temperature > 0:
            sampling = {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        seeded = torch.random.fork_rng(devices) if options.seed is not None else nullcontext()
        with seeded, torch.inference_mode():
            if options.seed is not None:
                torch.manual_seed(options.seed)
            self.model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), stopping_criteria=[watch],
                                max_new_tokens=options.max_new_tokens, pad_token_id=self.tokenizer.pad_token_id, **sampling)

    def close(self) -> None:
        self.model = None
        give_back()                        # what the allocators keep of freed weights a night could not plan with


class _Watch:
    """A stopping criterion of `generate`: hands each new token on, and ends where it is told to.

    Not a streamer: some versions of transformers ask the criteria before they stream, and would make one token too many.
    """

    def __init__(self, prompt_tokens: int, on_token: Callable[[int], bool]):
        self._seen, self._on_token = prompt_tokens, on_token

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        new, self._seen = input_ids[0, self._seen:].tolist(), input_ids.shape[1]
        enough = any([self._on_token(token) for token in new])
        return torch.full((input_ids.shape[0],), enough, device=input_ids.device, dtype=torch.bool)
