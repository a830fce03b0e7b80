"""A weight in 4-bit NF4 (QLoRA: Dettmers et al., 2023), made readable again. Format and bits are bitsandbytes'.

Which code does it is the registry's choice: bitsandbytes where its own runs, else a kernel of ours that was proved on this GPU,
else plain PyTorch, which any device has. kernels/nf4/README.md has the format.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from edge_sleep.ops import compiled, registry


def dequantise(weight: Any, dtype: torch.dtype) -> Tensor:
    """The weight [out, in] of a bitsandbytes `Params4bit` in `dtype`; without a copy where it was quantised from that type."""
    return _chosen(weight.device.type, str(dtype).removeprefix("torch."))(weight, dtype)


@cache
def _chosen(device: str, dtype: str) -> Callable[[Any, torch.dtype], Tensor]:
    return registry.choose("nf4", registry.Site(device, dtype)).implementation.load()


def with_bitsandbytes(weight: Any, dtype: torch.dtype) -> Tensor:
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state).to(dtype)


def in_pytorch(weight: Any, dtype: torch.dtype) -> Tensor:
    reference = _reference()
    return reference.dequantise(reference.of_state(weight.data, weight.quant_state)).to(dtype)


def with_kernel(weight: Any, dtype: torch.dtype) -> Tensor:
    """One launch, where bitsandbytes takes three: the scales are decoded on the way."""
    held = _reference().of_state(weight.data, weight.quant_state)
    # Rounded to the type it was quantised from first, as bitsandbytes does it; from float32 that is the only rounding.
    out = torch.empty(held.shape, dtype=dtype if held.dtype == torch.float32 else held.dtype, device=held.packed.device)
    nested = held.table is not None
    compiled.call("nf4", "edge_sleep_nf4_dequantise", out, held.packed, held.scales if nested else None, held.table,
                  held.nested_scales if nested else held.scales, held.offset, held.block, _reference().NESTED, out, out.numel())
    return out.to(dtype)


def _reference() -> Any:
    """By name: what lies in kernels/ is imported where it is used (ARCHITECTURE.md)."""
    return import_module("edge_sleep.kernels.nf4.reference")
