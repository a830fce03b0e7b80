"""The small operations between the matrix products by compiled kernels: one launch each, where PyTorch takes four to ten.

What a kernel does not take - another number type, a weight of another type, rows that do not lie together - goes the way of
plain PyTorch, call by call. The math is in kernels/<op>/README.md; the same operations in PyTorch in elementwise.py, loss.py.
"""
from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from edge_sleep.ops import compiled, elementwise, loss, rope


def _taken(*tensors: Tensor) -> bool:
    """Whether a kernel takes them: one number type that it knows, and values that lie side by side."""
    return (len({tensor.dtype for tensor in tensors}) == 1 and str(tensors[0].dtype).removeprefix("torch.") in compiled.TYPES
            and all(tensor.is_contiguous() for tensor in tensors))


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        width = x.shape[-1]
        rows = x.numel() // width
        out, inverse = torch.empty_like(x), x.new_empty(rows, dtype=torch.float32)
        compiled.call("rms_norm", "edge_sleep_rms_norm", x, x, weight, out, inverse, rows, width, epsilon)
        context.weight = weight
        context.save_for_backward(x, inverse)
        return out

    @staticmethod
    def backward(context, upstream: Tensor):
        x, inverse = context.saved_tensors
        given = upstream.contiguous()
        of_x = torch.empty_like(x)
        compiled.call("rms_norm", "edge_sleep_rms_norm_backward", x, given, x, context.weight, inverse, of_x, inverse.numel(),
                      x.shape[-1])
        return of_x, None, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """As elementwise.rms_norm."""
    if not _taken(x, weight) or not x.numel():
        return elementwise.rms_norm(x, weight, epsilon)
    return _RmsNorm.apply(x, weight, epsilon)


class _Gate(elementwise.Gate):
    @staticmethod
    def backward(context, upstream: Tensor):
        gate, up = context.saved_tensors
        compiled.call("swiglu", "edge_sleep_swiglu_backward", gate, upstream.contiguous(), gate, up, gate.numel())
        return gate, up


class _Product(elementwise.Product):
    @staticmethod
    def forward(context, held: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        out = torch.empty_like(gate)
        compiled.call("swiglu", "edge_sleep_swiglu", gate, gate, up, out, gate.numel())
        return out


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """As elementwise.swiglu, which writes over gate and up in the backward pass as well."""
    if not _taken(gate, up):
        return elementwise.swiglu(gate, up)
    return _Product.apply(_Gate.apply(gate, up), gate.detach(), up.detach())


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        context.save_for_backward(cosines, sines)
        return _turned(x, cosines, sines, back=False)

    @staticmethod
    def backward(context, upstream: Tensor):
        return _turned(upstream, *context.saved_tensors, back=True), None, None


def _turned(x: Tensor, cosines: Tensor, sines: Tensor, *, back: bool) -> Tensor:
    if x.stride(3) != 1:
        x = x.contiguous()
    out = torch.empty_like(x)                      # heads and tokens lie as they lay in x
    batch, heads, tokens, size = x.shape
    compiled.call("rope", "edge_sleep_rope", x, x, cosines, sines, out, batch, heads, tokens, size, *x.stride()[:3],
                  *out.stride()[:3], tokens * size if cosines.shape[0] > 1 else 0, int(back))
    return out


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """As rope.rotate."""
    batches, *rest = cosines.shape
    alike = x.dtype == cosines.dtype and rest == [x.shape[2], x.shape[3]] and batches in (1, x.shape[0])
    if not _taken(cosines, sines) or not alike or x.shape[3] % 2 or not x.numel():
        return rope.rotate(x, cosines, sines)
    return _Rotated.apply(x, cosines, sines)


def softmax_tile(tile: Tensor, targets: Tensor, begin: int, sums: loss.Sums, space: loss.Space, write: bool) -> Tensor:
    """As loss.softmax_tile, in one launch."""
    if not _taken(tile) or sums.top.dtype != torch.float32:
        return loss.softmax_tile(tile, targets, begin, sums, space, write)
    shrink = torch.empty_like(sums.top)
    compiled.call("softmax_tile", "edge_sleep_softmax_tile", tile, tile, targets.contiguous(), sums.top, sums.total, sums.chosen,
                  shrink, *tile.shape, begin, int(write))
    return shrink


chunked_cross_entropy = partial(loss.chunked_cross_entropy, step=softmax_tile)
