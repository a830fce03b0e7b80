"""SwiGLU and its gradients in Triton, for GPUs without a compiled kernel; names and arguments as swiglu.cu exports them."""
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit(do_not_specialize=["count"])
def _forward(gate, up, out, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    value = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    silu = (value / (1.0 + tl.exp(-value))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + place, (silu * other).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["count"])
def _backward(given, gate, up, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    upstream = tl.load(given + place, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    chance = 1.0 / (1.0 + tl.exp(-value))
    silu = (value / (1.0 + tl.exp(-value))).to(gate.dtype.element_ty).to(tl.float32)
    along = (other * upstream).to(gate.dtype.element_ty).to(tl.float32)
    tl.store(gate + place, (along * chance * (1.0 + value * (1.0 - chance))).to(gate.dtype.element_ty), mask=inside)
    tl.store(up + place, (silu * upstream).to(gate.dtype.element_ty), mask=inside)


def edge_sleep_swiglu(gate: Tensor, up: Tensor, out: Tensor, count: int) -> None:
    if count:
        _forward[(triton.cdiv(count, _BLOCK),)](gate, up, out, count, BLOCK=_BLOCK)


def edge_sleep_swiglu_backward(given: Tensor, gate: Tensor, up: Tensor, count: int) -> None:
    if count:
        _backward[(triton.cdiv(count, _BLOCK),)](given, gate, up, count, BLOCK=_BLOCK)
