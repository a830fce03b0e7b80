"""What a block does between its matrix products, with little kept: RMSNorm and SwiGLU.

    RMSNorm   y = w x / sqrt(mean(x^2) + eps)                      (Zhang and Sennrich, 2019)
    SwiGLU    y = silu(gate) * up,  silu(z) = z / (1 + exp(-z))    (Shazeer, 2020)

Autograd would keep every step between as a tensor of its own, in float32 for the norm. Here the inputs alone are kept, the
rest is made again, some rows at a time: few enough to stay in a processor's cache.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from edge_sleep.ops import sizes


def _rows(tensor: Tensor) -> Iterator[slice]:
    count, width = tensor.shape
    size = max(1, sizes.ROWS_BYTES // (4 * width)) if tensor.device.type == "cpu" else count
    for start in range(0, count, size):
        yield slice(start, start + size)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        wide = torch.promote_types(x.dtype, torch.float32)
        out, inverse = torch.empty_like(flat), flat.new_empty(len(flat), 1, dtype=wide)
        for part in _rows(flat):
            values = flat[part].to(wide, copy=True)
            length = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
            torch.rsqrt(length.square_().div_(x.shape[-1]).add_(epsilon), out=inverse[part])
            # Rounded before the weight, as the models of transformers do it.
            torch.mul(values.mul_(inverse[part]).to(x.dtype), weight, out=out[part])
        context.weight = weight                    # a parameter outlives the graph, and what is saved costs a recomputation time
        context.save_for_backward(x, inverse)
        return out.view_as(x)

    @staticmethod
    def backward(context, upstream: Tensor):
        x, inverse = context.saved_tensors
        flat, given = x.reshape(-1, x.shape[-1]), upstream.reshape(-1, x.shape[-1])
        wide, of_x = inverse.dtype, torch.empty_like(flat)
        for part in _rows(flat):
            normed = flat[part].to(wide, copy=True).mul_(inverse[part])
            along = (given[part] * context.weight).to(wide)
            share = torch.linalg.vecdot(along, normed)[:, None].div_(x.shape[-1])
            of_x[part] = along.addcmul_(normed, share, value=-1).mul_(inverse[part])
        return of_x.view_as(x), None, None


class Gate(torch.autograd.Function):
    """Holds what the backward pass of SwiGLU needs. What it returns has the product's shape, no memory and no meaning.

    It comes before the product, so that a recomputation, which ends at the last tensor to be saved, ends without it.
    """

    @staticmethod
    def forward(context, gate: Tensor, up: Tensor) -> Tensor:
        context.save_for_backward(gate, up)
        return gate.new_empty(()).expand(gate.shape)

    @staticmethod
    def backward(context, upstream: Tensor):
        gate, up = (saved.view(-1, saved.shape[-1]) for saved in context.saved_tensors)
        given = upstream.reshape(gate.shape)
        # Written over what was kept: nothing reads it again, and two tensors of the block's largest size are saved.
        for part in _rows(gate):
            of_up = functional.silu(gate[part]).mul_(given[part])
            torch.ops.aten.silu_backward.grad_input(up[part].mul_(given[part]), gate[part], grad_input=gate[part])
            up[part] = of_up
        return gate.view_as(upstream), up.view_as(upstream)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(context, held: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(context, upstream: Tensor):
        return upstream, None, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Normalised x [..., H] times weight [H] (frozen); differentiable in x."""
    return _RmsNorm.apply(x, weight, epsilon)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, both [..., I] and contiguous. The backward pass overwrites gate and up: one use of them, one backward."""
    return Product.apply(Gate.apply(gate, up), gate.detach(), up.detach())
