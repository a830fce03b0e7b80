"""The head beside its backbone: logits of the positions that are wanted, and of no others."""
from __future__ import annotations

from typing import Any

from edge_sleep.ops.registry import Site

# What an architecture does to its logits after the head: then head(hidden) is not what it answers with.
_AFTER_THE_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling")
LOSSES_AT_ONCE = 8                                 # examples per forward where nothing is sampled


def causal_of(model: Any) -> Any:
    """The language model under PEFT's wrapper; its adapted layers stay."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def site_of(model: Any) -> Site:
    """Where this model's operations run, and in which type."""
    embedding = model.get_input_embeddings()
    dtype = getattr(embedding, "compute_dtype", None) or embedding.weight.dtype
    return Site(next(model.parameters()).device.type, str(dtype).removeprefix("torch."))


def separate(model: Any) -> tuple[Any, Any] | str:
    """(backbone, head) where the logits are head(hidden states); otherwise why they are not."""
    causal = causal_of(model)
    changed = [name for name in _AFTER_THE_HEAD if getattr(causal.config, name, None) not in (None, 1.0)]
    head = causal.get_output_embeddings()
    backbone = causal.get_decoder() if hasattr(causal, "get_decoder") else None
    if changed or head is None or backbone is None or backbone is causal:
        return ", ".join(changed) or "no separate backbone"
    return backbone, head


def token_losses(model: Any, batch: dict) -> Any:
    """Negative log-likelihood in nats [N] of each supervised token of a collated batch, on its device; without gradient.

    The logits are never there, of no position whole: ops/loss.py walks them in tiles.
    """
    import torch

    from edge_sleep.model.embedding import head_of
    from edge_sleep.ops import loss as ops_loss

    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids") if name in batch}
    parted = separate(model)
    if isinstance(parted, str):
        logits = model(**inputs, use_cache=False).logits[batch["rows"], batch["columns"]]
        return torch.nn.functional.cross_entropy(logits.float(), batch["targets"], reduction="none")
    backbone, head = parted
    hidden = backbone(**inputs, use_cache=False).last_hidden_state[batch["rows"], batch["columns"]]
    return ops_loss.token_losses(hidden, head_of(head), batch["targets"])


def last_logits(model: Any, input_ids: Any) -> Any:
    """Logits [B, V] of the last position of `input_ids` [B, T]."""
    parted = separate(model)
    if isinstance(parted, str):
        return model(input_ids=input_ids, use_cache=False).logits[:, -1]
    backbone, head = parted
    return head(backbone(input_ids=input_ids, use_cache=False).last_hidden_state[:, -1])
