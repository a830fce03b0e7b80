"""Rotary positions (RoFormer: Su et al., 2021), as Llama and Qwen turn their queries and keys.

    y = x * cos + turned(x) * sin,    turned([a, b]) = [-b, a] of the two halves of a head
"""
from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x [B, H, T, D] turned by cosines, sines [B or 1, T, D]; differentiable in x."""
    one, other = x.chunk(2, dim=-1)
    return x * cosines[:, None] + torch.cat((-other, one), dim=-1) * sines[:, None]
