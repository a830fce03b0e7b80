"""One tile from logits to the gradient's factor in Triton, for GPUs without a compiled kernel; as softmax_tile.cu exports it."""
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit(do_not_specialize=["columns", "begin"])
def _softmax_tile(tile, targets, top, total, chosen, shrink, columns, begin, WRITE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    before = tl.load(top + row)
    target = tl.load(targets + row) - begin
    largest = tl.full([BLOCK], float("-inf"), tl.float32)
    at_target = tl.zeros([BLOCK], tl.float32)
    broken = tl.zeros([BLOCK], tl.int32)
    for start in range(0, columns, BLOCK):
        place = start + tl.arange(0, BLOCK)
        logits = tl.load(tile + row * columns + place, mask=place < columns, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, logits)
        broken += (logits != logits).to(tl.int32)
        at_target += tl.where((place == target) & (place < columns), logits, 0.0)
    now = tl.maximum(before, tl.max(largest, 0))
    # A maximum may drop a NaN, which has to reach the loss.
    now = tl.where(tl.sum(broken, 0) > 0, float("nan"), now)
    sums = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        place = start + tl.arange(0, BLOCK)
        logits = tl.load(tile + row * columns + place, mask=place < columns, other=float("-inf")).to(tl.float32)
        values = tl.exp(logits - now)
        sums += values
        if WRITE:
            factors = tl.where(place == target, 0.0, values).to(tile.dtype.element_ty)
            tl.store(tile + row * columns + place, factors, mask=place < columns)
    factor = tl.exp(before - now)
    tl.store(top + row, now)
    tl.store(total + row, tl.load(total + row) * factor + tl.sum(sums, 0))
    tl.store(chosen + row, tl.load(chosen + row) + tl.sum(at_target, 0))
    tl.store(shrink + row, factor)


def edge_sleep_softmax_tile(tile: Tensor, targets: Tensor, top: Tensor, total: Tensor, chosen: Tensor, shrink: Tensor, rows: int,
                            columns: int, begin: int, write: int) -> None:
    _softmax_tile[(rows,)](tile, targets, top, total, chosen, shrink, columns, begin, WRITE=bool(write), BLOCK=_BLOCK)
