"""RMSNorm and its gradient in Triton, for GPUs without a compiled kernel; names and arguments as rms_norm.cu exports them.

Widths are walked in blocks of one size and never specialised on: what the trial compiled is what a night finds on the disk.
"""
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit(do_not_specialize=["width"])
def _forward(x, weight, out, inverse, width, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        place = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * width + place, mask=place < width, other=0.0).to(tl.float32)
        squares += values * values
    scale = 1.0 / tl.sqrt(tl.sum(squares, 0) / width + epsilon)
    tl.store(inverse + row, scale)
    for start in range(0, width, BLOCK):
        place = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * width + place, mask=place < width, other=0.0).to(tl.float32)
        by = tl.load(weight + place, mask=place < width, other=0.0).to(tl.float32)
        normed = (values * scale).to(out.dtype.element_ty).to(tl.float32)
        tl.store(out + row * width + place, (normed * by).to(out.dtype.element_ty), mask=place < width)


@triton.jit(do_not_specialize=["width"])
def _backward(given, x, weight, inverse, of_x, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    scale = tl.load(inverse + row)
    shares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < width
        values = tl.load(x + row * width + place, mask=inside, other=0.0).to(tl.float32)
        by = tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
        along = (tl.load(given + row * width + place, mask=inside, other=0.0).to(tl.float32) * by).to(of_x.dtype.element_ty)
        shares += along.to(tl.float32) * (values * scale)
    share = tl.sum(shares, 0) / width
    for start in range(0, width, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < width
        values = tl.load(x + row * width + place, mask=inside, other=0.0).to(tl.float32)
        by = tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
        along = (tl.load(given + row * width + place, mask=inside, other=0.0).to(tl.float32) * by).to(of_x.dtype.element_ty)
        found = (along.to(tl.float32) - values * scale * share) * scale
        tl.store(of_x + row * width + place, found.to(of_x.dtype.element_ty), mask=inside)


def edge_sleep_rms_norm(x: Tensor, weight: Tensor, out: Tensor, inverse: Tensor, rows: int, width: int, epsilon: float) -> None:
    _forward[(rows,)](x, weight, out, inverse, width, epsilon, BLOCK=_BLOCK)


def edge_sleep_rms_norm_backward(given: Tensor, x: Tensor, weight: Tensor, inverse: Tensor, of_x: Tensor, rows: int,
                                 width: int) -> None:
    _backward[(rows,)](given, x, weight, inverse, of_x, width, BLOCK=_BLOCK)
