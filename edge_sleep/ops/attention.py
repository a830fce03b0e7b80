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

# Queries at a time: at 512 keys and 14 heads the scores of a block are 2 MiB in bfloat16, and stay in the cache.
BLOCK = 128


class _BlockedAttention(torch.autograd.Function):
    @staticmethod
    def forward(context, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        batch, heads, length, size = query.shape
        out = query.new_empty(batch, length, heads, size)
        scaled = _centred(key) * scale
        later = _later(query)
        for row in range(batch):
            for start, end in _blocks(length):
                chances = _probabilities(query, scaled, mask, later, row, start, end)
                found = torch.bmm(chances, value[row, :, :end])
                out[row, start:end] = found.view(heads, end - start, size).transpose(0, 1)
        context.save_for_backward(query, key, value, mask, out)
        context.scale = scale
        return out

    @staticmethod
    def backward(context, upstream: Tensor):
        query, key, value, mask, out = context.saved_tensors
        batch, heads, length, size = query.shape
        groups = key.shape[1]
        wide = torch.promote_types(query.dtype, torch.float32)
        scaled = _centred(key) * context.scale
        later = _later(query)
        of_query = torch.empty_like(query)
        of_key, of_value = torch.empty_like(key), torch.empty_like(value)
        for row in range(batch):
            key_sum, value_sum = (torch.zeros(groups, length, size, dtype=wide, device=query.device) for _ in range(2))
            for start, end in _blocks(length):
                chances = _probabilities(query, scaled, mask, later, row, start, end)
                given = upstream[row, start:end].transpose(0, 1).reshape(groups, -1, size)
                along = (given * out[row, start:end].transpose(0, 1).reshape(groups, -1, size)).sum(-1, keepdim=True, dtype=wide)
                value_sum[:, :end] += torch.bmm(chances.transpose(1, 2), given)
                of_scores = torch.bmm(given, value[row, :, :end].transpose(1, 2)).sub_(along.to(query.dtype)).mul_(chances)
                of_query[row, :, start:end] = torch.bmm(of_scores, scaled[row, :, :end]).view(heads, end - start, size)
                asked = query[row, :, start:end].reshape(groups, -1, size)
                key_sum[:, :end] += torch.bmm(of_scores.transpose(1, 2), asked)
            of_key[row], of_value[row] = key_sum.mul_(context.scale), value_sum
        return of_query, of_key, of_value, None, None


def _centred(key: Tensor) -> Tensor:
    """Keys less their mean over the row: the same shift of every score of a query, which softmax does not see.

    Models with large key biases (Qwen2) have scores of a hundred and more; rounded to bfloat16 those would be off by
    half a nat (SageAttention, Zhang et al., 2024, smooths keys for the same reason).
    """
    return key - key.mean(dim=2, keepdim=True)


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def _later(query: Tensor) -> Tensor:
    """[BLOCK, BLOCK] bool: which keys of a block lie after each of its queries."""
    return torch.ones(BLOCK, BLOCK, dtype=torch.bool, device=query.device).triu_(1)


def _probabilities(query: Tensor, key: Tensor, mask: Tensor | None, later: Tensor, row: int, start: int, end: int) -> Tensor:
    """Attention [G, R * (end - start), end] of a block of queries; R query heads share each of the G keys."""
    heads, groups, count = query.shape[1], key.shape[1], end - start
    scores = torch.bmm(query[row, :, start:end].reshape(groups, -1, query.shape[3]), key[row, :, :end].transpose(1, 2))
    by_head = scores.view(heads, count, end)
    if mask is None:
        by_head[:, :, start:].masked_fill_(later[:count, :count], -math.inf)
    else:
        by_head.masked_fill_(~mask[row, :, start:end, :end], -math.inf)
    return torch.softmax(scores, dim=-1)


def blocked_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float) -> Tensor:
    """Causal attention [B, T, H, D] of query [B, H, T, D] over key, value [B, G, T, D]; H is a multiple of G.

    mask [B, 1, T, T] bool says which keys each query may see, causality included (every query at least one key);
    None is causality alone. Differentiable in query, key and value. Scores are rounded to the inputs' type.
    """
    return _BlockedAttention.apply(query, key, value, mask, scale)


def reference_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, scale: float) -> Tensor:
    """The same through all scores at once: slow, obvious, the oracle."""
    shared = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(shared, 1).transpose(2, 3) * scale
    seen = mask if mask is not None else torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    return (scores.masked_fill(~seen, -math.inf).softmax(-1) @ value.repeat_interleave(shared, 1)).transpose(1, 2)
