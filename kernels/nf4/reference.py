"""NF4 with double quantisation in plain PyTorch, both ways: slow, obvious, on any device; the oracle of the kernels.

The bits are those of bitsandbytes on a CPU (0.50), and so is the state: what either of them wrote, the other reads.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BLOCK, NESTED = 64, 256
# Quantiles of a normal distribution, scaled to [-1, 1] (QLoRA: Dettmers et al., 2023).
CODE = (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
        -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0)
_GRID = 65535                          # bitsandbytes' CPU code looks a scale up on a grid of so many steps over [-1, 1]
_LEAST = 1e-38                         # of a block of zeros


@dataclass(frozen=True)
class Nf4:
    """packed [(count + 1) / 2] uint8; scales [blocks] float32, or uint8 with what decodes them: the last three."""

    packed: Tensor
    scales: Tensor
    shape: tuple[int, ...]
    dtype: torch.dtype                 # of what was quantised, and of what it is made readable in
    block: int = BLOCK
    table: Tensor | None = None        # [256] what a code of `scales` stands for
    nested_scales: Tensor | None = None
    offset: Tensor | None = None       # a number without dimensions


@cache
def dynamic_table() -> Tensor:
    """[256] values with an exponent of as many bits as it needs (Dettmers, 2015), as bitsandbytes makes them; on the CPU."""
    values = [0.0, 1.0]
    for bits in range(7):
        edges = torch.linspace(0.1, 1, 2 ** bits + 1, dtype=torch.float32)
        size = 10.0 ** (bits - 6)
        means = (edges[:-1] + edges[1:]) / 2.0
        values += (size * means).tolist() + (-size * means).tolist()
    return torch.tensor(sorted(values), dtype=torch.float32)


def _blocks(flat: Tensor, size: int) -> Tensor:
    """[blocks, size], zeros at the end."""
    return functional.pad(flat, (0, -len(flat) % size)).view(-1, size)


def _nearest(table: Tensor) -> Tensor:
    """Between which values the nearer one changes."""
    return (table[:-1] + table[1:]) / 2


def quantise(weight: Tensor, block: int = BLOCK, nested: bool = True) -> Nf4:
    """A weight of 16 or 32 bits in NF4. A block's last, shorter part is divided by its scale, whole blocks are multiplied."""
    flat = weight.reshape(-1).float()
    code = torch.tensor(CODE, device=flat.device)
    rows = _blocks(flat, block)
    largest = rows.abs().amax(dim=-1)
    whole = len(flat) // block
    parts = [(rows[:whole] * (1.0 / largest[:whole].clamp(min=_LEAST))[:, None]).reshape(-1)]
    if len(flat) % block:
        largest[-1:] = largest[-1:].clamp(min=_LEAST)
        parts.append(flat[whole * block:] / largest[-1])
    scaled = torch.cat(parts).clamp(-1, 1)
    indices = torch.bucketize(functional.pad(scaled, (0, len(flat) % 2)), _nearest(code)).to(torch.uint8)
    packed = (indices[::2] << 4) | indices[1::2]
    if not nested:
        return Nf4(packed, largest, tuple(weight.shape), weight.dtype, block)
    offset = largest.mean()
    codes, above = quantise_scales(largest - offset)
    return Nf4(packed, codes, tuple(weight.shape), weight.dtype, block, dynamic_table().to(flat.device), above, offset)


def quantise_scales(scales: Tensor) -> tuple[Tensor, Tensor]:
    """(uint8 [blocks], float32 [blocks / 256]): each to the nearest value of the table, by way of a grid."""
    rows = _blocks(scales, NESTED)
    largest = rows.abs().amax(dim=-1)
    inverse = torch.where(largest > 0, 1.0 / largest, 0.0)
    table = dynamic_table().to(scales.device)
    steps = (((rows * inverse[:, None]).clamp(-1, 1) + 1.0) * (_GRID / 2) + 0.5).to(torch.int32)
    grid = torch.arange(_GRID + 1, device=scales.device, dtype=torch.float64).mul_(2.0 / _GRID).sub_(1.0).float()
    codes = torch.bucketize(grid, _nearest(table)).to(torch.uint8)[steps.long()]
    # A group of zeros has the first code, which its scale makes zero.
    codes = torch.where(largest[:, None] > 0, codes, torch.zeros_like(codes))
    return codes.reshape(-1)[:len(scales)], largest


@cache
def _pairs(device: torch.device) -> Tensor:
    """[256, 2] what each byte holds: the first of two values is in its upper half."""
    return torch.tensor([(CODE[byte >> 4], CODE[byte & 15]) for byte in range(256)], device=device)


def scales_of(weight: Nf4) -> Tensor:
    """Scale of each block [blocks] in float32."""
    if weight.table is None or weight.nested_scales is None or weight.offset is None:
        return weight.scales
    found = _blocks(weight.table[weight.scales.int()], NESTED) * weight.nested_scales[:, None]
    return found.reshape(-1)[:len(weight.scales)] + weight.offset


def dequantise(weight: Nf4) -> Tensor:
    """The weight made readable [*shape], in its type: each product is made in float32 and rounded once."""
    count = torch.Size(weight.shape).numel()
    packed = weight.packed.view(torch.uint8).reshape(-1)
    values = _pairs(packed.device)[packed.int()].view(-1)[:count]
    return (_blocks(values, weight.block) * scales_of(weight)[:, None]).reshape(-1)[:count].to(weight.dtype).view(weight.shape)


def of_state(packed: Tensor, state: Any) -> Nf4:
    """What bitsandbytes holds as packed values and a QuantState; nothing is copied. Raises ValueError for another code."""
    if state.quant_type != "nf4":
        raise ValueError(f"NF4 was asked for, and the weight is in {state.quant_type}")
    if not state.nested:
        return Nf4(packed, state.absmax, tuple(state.shape), state.dtype, state.blocksize)
    if state.state2.blocksize != NESTED:
        raise ValueError(f"scales in groups of {NESTED} were asked for, found {state.state2.blocksize}")
    return Nf4(packed, state.absmax, tuple(state.shape), state.dtype, state.blocksize, state.state2.code, state.state2.absmax,
               state.offset)
