"""Causal attention for training, walked in blocks of queries; nothing of the size [T, T] is ever kept.

    O = softmax(Q K^T / sqrt(d) + mask) V

In the manner of FlashAttention (Dao et al., 2022), in plain matrix products: a block of queries sees only the keys that
causality lets it see, the heads that share keys are folded into the rows of one product instead of repeating the keys,
and the backward pass makes the probabilities again. On a CPU PyTorch's own kernel reaches a tenth of the matrix
products' speed (LOG.md); here it is a third to a half.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from edge_sleep.ops import sizes


class _BlockedAttention(torch.autograd.Function):
    @staticmethod
    def forward(context, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, keep: bool) -> Tensor:
        batch, heads, length, size = query.shape
        out = query.new_empty(batch, length, heads, size)
        scaled = _centred(key) * scale
        later = _later(query)
        kept: list[Tensor] = []
        for row in range(batch):
            for start, end in sizes.blocks(length):
                chances = _probabilities(query, scaled, mask, later, row, start, end)
                found = torch.bmm(chances, value[row, :, :end])
                out[row, start:end] = found.view(heads, end - start, size).transpose(0, 1)
                if keep:
                    kept.append(chances)
        context.save_for_backward(query, key, value, mask, out, *kept)
        context.scale = scale
        return out

    @staticmethod
    def backward(context, upstream: Tensor):
        query, key, value, mask, out, *kept = context.saved_tensors
        batch, heads, length, size = query.shape
        groups = key.shape[1]
        wide = torch.promote_types(query.dtype, torch.float32)
        scaled = _centred(key) * context.scale
        later = _later(query)
        of_query = torch.empty_like(query)
        of_key, of_value = torch.empty_like(key), torch.empty_like(value)
        for row in range(batch):
            key_sum, value_sum = (torch.zeros(groups, length, size, dtype=wide, device=query.device) for _ in range(2))
            for number, (start, end) in enumerate(sizes.blocks(length)):
                chances = (kept[row * len(sizes.blocks(length)) + number] if kept else
                           _probabilities(query, scaled, mask, later, row, start, end))
                given = upstream[row, start:end].transpose(0, 1).reshape(groups, -1, size)
                along = (given * out[row, start:end].transpose(0, 1).reshape(groups, -1, size)).sum(-1, keepdim=True, dtype=wide)
                value_sum[:, :end] += torch.bmm(chances.transpose(1, 2), given)
                of_scores = torch.bmm(given, value[row, :, :end].transpose(1, 2)).sub_(along.to(query.dtype)).mul_(chances)
                of_query[row, :, start:end] = torch.bmm(of_scores, scaled[row, :, :end]).view(heads, end - start, size)
                asked = query[row, :, start:end].reshape(groups, -1, size)
                key_sum[:, :end] += torch.bmm(of_scores.transpose(1, 2), asked)
            of_key[row], of_value[row] = key_sum.mul_(context.scale), value_sum
        return of_query, of_key, of_value, None, None, None


def _centred(key: Tensor) -> Tensor:
    """Keys less their mean over the row: the same shift of every score of a query, which softmax does not see.

    Models with large key biases (Qwen2) have scores of a hundred and more; rounded to bfloat16 those would be off by
    half a nat (SageAttention, Zhang et al., 2024, smooths keys for the same reason).
    """
    return key - key.mean(dim=2, keepdim=True)


def _later(query: Tensor) -> Tensor:
    """[BLOCK, BLOCK] to add to scores: minus infinity where a key of a block lies after the query."""
    return torch.full((sizes.BLOCK, sizes.BLOCK), -math.inf, dtype=query.dtype, device=query.device).triu_(1)


def _probabilities(query: Tensor, key: Tensor, mask: Tensor | None, later: Tensor, row: int, start: int, end: int) -> Tensor:
    """Attention [G, R * (end - start), end] of a block of queries; R query heads share each of the G keys."""
    heads, groups, count = query.shape[1], key.shape[1], end - start
    scores = torch.bmm(query[row, :, start:end].reshape(groups, -1, query.shape[3]), key[row, :, :end].transpose(1, 2))
    by_head = scores.view(heads, count, end)
    # Added, not filled in: the same for a CPU at a quarter of the time.
    if mask is None:
        by_head[:, :, start:].add_(later[:count, :count])
    else:
        unseen = ~mask[row, :, start:end, :end]
        # Padding beyond a window may see no key: what it gives is nobody's, but a NaN would spoil all, since 0 x NaN is one.
        unseen &= ~unseen.all(dim=-1, keepdim=True)
        by_head.add_(torch.zeros_like(unseen, dtype=scores.dtype).masked_fill_(unseen, -math.inf))
    return torch.softmax(scores, dim=-1)


def blocked_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float,
                      keep: bool = False) -> Tensor:
    """Causal attention [B, T, H, D] of query [B, H, T, D] over key, value [B, G, T, D]; H is a multiple of G.

    mask [B, 1, T, T] bool says which keys each query may see, causality included; None is causality alone. What a query gives
    that may see none is finite and means nothing. keep: hold the probabilities until the backward pass where they are few
    (sizes.KEPT_BYTES), as is right where blocks are recomputed. Differentiable in query, key and value. Scores are rounded to the
    inputs' type.
    """
    batch, heads, length, _ = query.shape
    few = sizes.kept_bytes(batch, heads, length, query.element_size()) > 0
    return _BlockedAttention.apply(query, key, value, mask, scale, keep and few)


def reference_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float) -> Tensor:
    """The same through all scores at once: slow, obvious, the oracle."""
    shared = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(shared, 1).transpose(2, 3) * scale
    seen = mask if mask is not None else torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    return (scores.masked_fill(~seen, -math.inf).softmax(-1) @ value.repeat_interleave(shared, 1)).transpose(1, 2)
