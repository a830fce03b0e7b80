"""Which implementation each operation of a training step uses on a device, and why.

The first of a row that suits is taken. A kernel of ours is at the front of its row, and is passed over where a call on this very
GPU did not prove it (ops/proof.py). Nothing here loads torch by itself: an implementation is imported when it is chosen.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge_sleep.ops import proof


@dataclass(frozen=True)
class Site:
    """Where an operation runs. device: "cpu" or "cuda"; dtype: of the activations."""

    device: str
    dtype: str


def anywhere(site: Site) -> str | None:
    """No condition."""
    return None


def on_cpu(site: Site) -> str | None:
    return None if site.device == "cpu" else f"made for a CPU, not for {site.device}"


def where_bitsandbytes_runs(site: Site) -> str | None:
    return proof.library_fails(site.device)


def _kernel(name: str, where: str, reason: str) -> Implementation:
    return Implementation("kernel", where, reason, kernel=name)


@dataclass(frozen=True)
class Implementation:
    """`where` is module:function, empty where the library's own code stays; `refuses(site)` says why it cannot serve there."""

    name: str
    where: str
    reason: str
    refuses: Callable[[Site], str | None] = anywhere
    kernel: str = ""                   # of kernels/, compiled; then it must be proved on the GPU at hand

    def why_not(self, site: Site) -> str | None:
        """Why it is passed over at `site`; None where it may serve."""
        refused = self.refuses(site)
        return refused or (proof.why_not(self.kernel, site.device, site.dtype) if self.kernel else None)

    def load(self) -> Any:
        """The function itself. Imports its module."""
        module, _, function = self.where.partition(":")
        return getattr(import_module(module), function)


@dataclass(frozen=True)
class Choice:
    op: str
    implementation: Implementation
    reason: str

    @property
    def own(self) -> bool:
        """Whether code of ours takes the place of the library's."""
        return bool(self.implementation.where)


OPS: dict[str, tuple[Implementation, ...]] = {
    "nf4": (
        Implementation("bitsandbytes", "edge_sleep.ops.nf4:with_bitsandbytes", "its own code runs here", where_bitsandbytes_runs),
        _kernel("nf4", "edge_sleep.ops.nf4:with_kernel", "one launch, the quantised scales decoded on the way"),
        Implementation("pytorch", "edge_sleep.ops.nf4:in_pytorch", "plain PyTorch, bit for bit the same, on any device")),
    "linear_cross_entropy": (
        _kernel("softmax_tile", "edge_sleep.ops.fused:chunked_cross_entropy",
                "as tiled, and from logits to the gradient's factor in one launch, in place"),
        Implementation("tiled", "edge_sleep.ops.loss:chunked_cross_entropy",
                       "chunks of supervised tokens, tiles of the vocabulary: never all logits, the gradient made on the way"),),
    "lora_linear": (
        Implementation("one step", "edge_sleep.ops.lora:lora_linear",
                       "4-bit weight and adapter in one step of autograd: no float32 copy of the input"),),
    "frozen_linear": (
        Implementation("one step", "edge_sleep.ops.lora:frozen_linear", "the 4-bit weight is made readable once per use"),),
    "attention": (
        Implementation("blocked", "edge_sleep.ops.attention:blocked_attention",
                       "blocks of queries in plain matrix products: twice to three times as fast as sdpa on a CPU", on_cpu),
        Implementation("sdpa", "", "PyTorch's own fused kernel")),
    "rms_norm": (
        _kernel("rms_norm", "edge_sleep.ops.fused:rms_norm", "one launch forward, one backward"),
        Implementation("one step", "edge_sleep.ops.elementwise:rms_norm", "keeps the input alone, no float32 copies"),),
    "swiglu": (
        _kernel("swiglu", "edge_sleep.ops.fused:swiglu", "one launch forward, one backward, in the place of gate and up"),
        Implementation("one step", "edge_sleep.ops.elementwise:swiglu", "keeps gate and up alone, and works in their place"),),
    "rope": (
        _kernel("rope", "edge_sleep.ops.fused:rotate", "one launch for all heads, where PyTorch takes five"),
        Implementation("the model's", "", "the library's own code")),
}


def choose(op: str, site: Site) -> Choice:
    """The implementation of `op` at `site`, with its reason and why others before it were passed over."""
    passed: list[str] = []
    for implementation in OPS[op]:
        why_not = implementation.why_not(site)
        if why_not is None:
            return Choice(op, implementation, "; ".join([implementation.reason, *passed]))
        passed.append(f"not {implementation.name}: {why_not}")
    raise LookupError(f"nothing implements {op} on {site}: {'; '.join(passed)}")
