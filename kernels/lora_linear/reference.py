"""A frozen layer with its adapter, by the formula; autograd gives every gradient. The oracle of edge_sleep/ops/lora.py."""
from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def lora_linear(x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """x [..., in] through the readable weight [out, in] and, beside it, through a [r, in] and b [out, r]."""
    return functional.linear(x, weight, bias) + scale * (x @ a.t()) @ b.t()
