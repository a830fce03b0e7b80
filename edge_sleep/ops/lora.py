"""A frozen 4-bit linear layer with a low-rank adapter beside it, as one step of autograd.

    y = x W^T + b + s (x A^T) B^T
    dL/dx = g W + s (g B) A,    dL/dA = s (g B)^T x,    dL/dB = s g^T (x A^T)

A [r, in] and B [out, r] are float32 masters; they are rounded to the type of x for the products, so that no float32
copy of x is ever made. W is dequantised for each use. LoRA: Hu et al., 2021; s is alpha/r, or alpha/sqrt(r) (rsLoRA).
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edge_sleep.ops.nf4 import dequantise


class _FrozenLinear(torch.autograd.Function):
    """x W^T + b (+ beside). keep: the dequantised weight is kept for the backward pass instead of being made again."""

    @staticmethod
    def forward(context, x: Tensor, weight: Any, bias: Tensor | None, keep: bool, beside: Tensor | None) -> Tensor:
        dense = dequantise(weight, x.dtype)
        context.weight, context.keep, context.beside = weight, keep, beside is not None
        if keep:
            context.save_for_backward(dense)
        out = functional.linear(x, dense, bias)
        return out if beside is None else out.add_(beside)

    @staticmethod
    def backward(context, upstream: Tensor):
        dense = context.saved_tensors[0] if context.keep else dequantise(context.weight, upstream.dtype)
        return upstream @ dense, None, None, None, upstream if context.beside else None


class _LoraLinear(torch.autograd.Function):
    """The layer and its adapter together: one read of x, one tensor out."""

    @staticmethod
    def forward(context, x: Tensor, weight: Any, bias: Tensor | None, a: Tensor, b: Tensor, scale: float, keep: bool) -> Tensor:
        dense = dequantise(weight, x.dtype)
        inner = x @ a.to(x.dtype).t()
        out = functional.linear(x, dense, bias)
        _add_product(out, inner, (b * scale).to(x.dtype).t())
        # Parameters outlive the graph: they need not be saved, and each tensor that is costs a recomputation time.
        context.weight, context.scale, context.a, context.b = weight, scale, a, b
        context.save_for_backward(x, inner, *([dense] if keep else []))
        return out

    @staticmethod
    def backward(context, upstream: Tensor):
        x, inner, *kept = context.saved_tensors
        of_x = None
        if context.needs_input_grad[0]:
            of_x = upstream @ (kept[0] if kept else dequantise(context.weight, upstream.dtype))
        of_x, of_a, of_b = _of_adapter(upstream, x, inner, context.a, context.b, context.scale, of_x)
        return of_x, None, None, of_a, of_b, None, None


class _LowRank(torch.autograd.Function):
    """The adapter alone, for a layer whose input it does not share (dropout), or that must save nothing itself."""

    @staticmethod
    def forward(context, x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        inner = x @ a.to(x.dtype).t()
        context.scale, context.a, context.b = scale, a, b
        context.save_for_backward(x, inner)
        return inner @ (b * scale).to(x.dtype).t()

    @staticmethod
    def backward(context, upstream: Tensor):
        x, inner = context.saved_tensors
        of_x = torch.zeros_like(x) if context.needs_input_grad[0] else None
        return *_of_adapter(upstream, x, inner, context.a, context.b, context.scale, of_x), None


def _of_adapter(upstream: Tensor, x: Tensor, inner: Tensor, a: Tensor, b: Tensor, scale: float,
                of_x: Tensor | None) -> tuple[Tensor | None, Tensor, Tensor]:
    """(of_x with the adapter's share added in place, gradient of A, gradient of B)."""
    scaled = upstream @ (b * scale).to(x.dtype)
    if of_x is not None:
        _add_product(of_x, scaled, a.to(x.dtype))
    rows = x.shape[-1]
    of_a = scaled.reshape(-1, scaled.shape[-1]).t() @ x.reshape(-1, rows)
    of_b = upstream.reshape(-1, upstream.shape[-1]).t() @ inner.reshape(-1, inner.shape[-1])
    return of_x, of_a.to(a.dtype), of_b.to(b.dtype).mul_(scale)


def _add_product(onto: Tensor, left: Tensor, right: Tensor) -> None:
    """onto [..., M] += left [..., K] right [K, M], in place and without a tensor of its size between."""
    onto.view(-1, onto.shape[-1]).addmm_(left.reshape(-1, left.shape[-1]), right)


def lora_linear(x: Tensor, weight: Any, bias: Tensor | None, a: Tensor, b: Tensor, scale: float, *, dropout: float = 0.0,
                last: bool = False, keep: bool = False) -> Tensor:
    """Output [..., out] of a frozen 4-bit layer with its adapter, for x [..., in].

    weight: bitsandbytes' Params4bit; a [r, in], b [out, r]. dropout: chance of each input of A to be left out.
    last: this layer ends a checkpointed block; what it saves is saved before the large product, which the recomputation
    then need not do. keep: hold the dequantised weight until the backward pass (one block's worth, where blocks are
    recomputed). Differentiable in x, a and b.
    """
    if dropout or last:
        beside = _LowRank.apply(functional.dropout(x, dropout) if dropout else x, a, b, scale)
        return _FrozenLinear.apply(x, weight, bias, keep and not last, beside)
    return _LoraLinear.apply(x, weight, bias, a, b, scale, keep)


def frozen_linear(x: Tensor, weight: Any, bias: Tensor | None, *, keep: bool = False) -> Tensor:
    """Output [..., out] of a frozen 4-bit layer for x [..., in]; differentiable in x."""
    return _FrozenLinear.apply(x, weight, bias, keep, None)
