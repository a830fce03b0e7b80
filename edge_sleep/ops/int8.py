"""Rows of a large table in int8 with one scale each: an embedding, and the head that is tied to it, in half the memory.

    q_vh = round(W_vh / s_v),  s_v = max_h |W_vh| / 127

A row's rounding error is at most s_v / 2 per value: absmax quantisation by vector (LLM.int8(), Dettmers et al., 2022).
Whole numbers to 127 are exact in bfloat16, so a product with q is the product with W up to that rounding and s_v.
"""
from __future__ import annotations

import torch
from torch import Tensor


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(int8 [V, H], scale [V] float32) of a table [V, H]."""
    largest = weight.abs().amax(dim=-1, keepdim=True).float().clamp_min(1e-12)
    return (weight.float() * (127 / largest)).round_().to(torch.int8), (largest / 127).squeeze(-1)


class Int8Head:
    """A head [V, H] for `ops.loss` whose rows are made readable a tile at a time, in `dtype`."""

    def __init__(self, values: Tensor, scales: Tensor, dtype: torch.dtype):
        self.values, self.scales, self.dtype = values, scales.to(dtype), dtype
        self.vocabulary = values.shape[0]

    def rows(self, begin: int, end: int) -> Tensor:
        return self.values[begin:end].to(self.dtype)

    def scale(self, begin: int, end: int) -> Tensor | None:
        return self.scales[begin:end]

    def bias(self, begin: int, end: int) -> Tensor | None:
        return None

    def lookup(self, ids: Tensor) -> Tensor:
        return self.values[ids].to(self.dtype) * self.scales[ids][..., None]
