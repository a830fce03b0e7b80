"""A transformers model as something that is fed and remembers (`decoding.Reader`)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TransformersReader:
    """Keeps the attention cache of what it was fed; logits of the last token only."""

    def __init__(self, model: Any):
        self.model = model
        self._kept: Any = None

    def restart(self) -> None:
        """Forget what was fed."""
        self._kept = None

    def feed(self, ids: Sequence[int]) -> Any:
        """Logits [V], float32 on the CPU, for what follows everything fed since `restart`, these ids last."""
        import torch

        with torch.inference_mode():
            out = self.model(input_ids=torch.tensor([list(ids)], device=self.model.device), past_key_values=self._kept,
                             use_cache=True, logits_to_keep=1)
        self._kept = out.past_key_values
        return out.logits[0, -1].float().cpu()
