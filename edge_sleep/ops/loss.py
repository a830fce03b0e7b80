"""Weighted cross-entropy of a language-model head, without ever holding all logits.

    L = sum_t w_t * ( logsumexp_v(h_t . W_v) - h_t . W_{y_t} ) / denominator

over supervised tokens t only. The head W is frozen, so the only gradient is dL/dh, and it is made in the forward
pass, chunk by chunk of tokens: dL/dh_t = w_t * (softmax(h_t W^T) - onehot(y_t)) W / denominator. Within a chunk the
vocabulary is walked once, in tiles that fit a processor's cache; of the logits one tile is there at a time. The math, and
who else does it: kernels/linear_cross_entropy/README.md.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from edge_sleep.ops import sizes


class Head(Protocol):
    """What the loss needs of an output projection [V, H]; `DenseHead` here, `Int8Head` in ops/int8.py."""

    vocabulary: int

    def rows(self, begin: int, end: int) -> Tensor:
        """Weights [end - begin, H] in the type of the hidden states, `scale` left out."""

    def scale(self, begin: int, end: int) -> Tensor | None:
        """Factor of each of these rows [end - begin], None where it is one."""

    def bias(self, begin: int, end: int) -> Tensor | None:
        """Bias of each of these rows [end - begin]."""

    def lookup(self, ids: Tensor) -> Tensor:
        """Whole weights [N, H] of single rows, scale included."""


class DenseHead:
    """A head whose weight [V, H] lies in memory as it is used."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self.weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self.vocabulary = weight.shape[0]

    def rows(self, begin: int, end: int) -> Tensor:
        return self.weight[begin:end]

    def scale(self, begin: int, end: int) -> Tensor | None:
        return None

    def bias(self, begin: int, end: int) -> Tensor | None:
        return None if self._bias is None else self._bias[begin:end]

    def lookup(self, ids: Tensor) -> Tensor:
        return self.weight[ids]


def logits_of(hidden: Tensor, head: Head, begin: int, end: int) -> Tensor:
    """Logits [N, end - begin] of hidden states [N, H] for a part of the vocabulary, in their type."""
    return _logits(hidden, head.rows(begin, end), head.scale(begin, end), head.bias(begin, end))


def _logits(hidden: Tensor, rows: Tensor, scale: Tensor | None, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    logits = torch.mm(hidden, rows.t(), out=out)
    if scale is not None:
        logits *= scale
    return logits if bias is None else logits.add_(bias)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(context, hidden: Tensor, head: Head, targets: Tensor, weights: Tensor, denominator: float, chunk: int,
                step: Step) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        gradient = torch.empty_like(hidden) if context.needs_input_grad[0] else None
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        space = Space(hidden, head, chunk)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            scale = weights[part].to(wide) / denominator
            total, chosen, pull = _walk(hidden[part], head, targets[part], space, gradient is not None, step)
            loss += ((total - chosen) * scale).sum()
            if gradient is not None:
                # The target's own term by itself, in full precision: near certainty p - 1 is all that is left to learn, and
                # a bfloat16 p would lose it.
                error = torch.expm1(chosen - total) * scale
                gradient[part] = pull.mul_(scale[:, None]).addcmul_(head.lookup(targets[part]).to(wide), error[:, None])
        context.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(context, upstream: Tensor):
        (gradient,) = context.saved_tensors
        return gradient * upstream, None, None, None, None, None, None


class Space:
    """Room for one tile of a chunk, used by all: fresh pages cost a CPU more than the arithmetic on them."""

    def __init__(self, hidden: Tensor, head: Head, chunk: int):
        most = min(chunk, len(hidden))
        self.narrow = hidden.new_empty(most * min(sizes.TILE, head.vocabulary))
        self.product = hidden.new_empty(most, hidden.shape[1])

    @cached_property
    def wide(self) -> Tensor:
        return torch.empty_like(self.narrow, dtype=torch.promote_types(self.narrow.dtype, torch.float32))


@dataclass(frozen=True)
class Sums:
    """Of the tiles so far, each [N, 1]: the largest logit, the sum of exp(logit - largest), the target's logit."""

    top: Tensor
    total: Tensor
    chosen: Tensor


# (tile of logits [N, C], targets [N], its first column, sums, space, whether it is wanted) -> factor of earlier sums [N, 1]. The
# sums are brought up to date in place, and the tile becomes exp(logit - largest), zero at the target.
Step = Callable[[Tensor, Tensor, int, Sums, Space, bool], Tensor]


def softmax_tile(tile: Tensor, targets: Tensor, begin: int, sums: Sums, space: Space, write: bool) -> Tensor:
    """The Step in plain PyTorch."""
    index, inside = _within(targets, begin, begin + tile.shape[1])
    sums.chosen.add_(torch.where(inside, tile.gather(1, index).to(sums.chosen.dtype), 0.0))
    new = torch.maximum(sums.top, tile.amax(dim=-1, keepdim=True).to(sums.top.dtype))
    exact = space.wide[:tile.numel()].view_as(tile).copy_(tile).sub_(new).exp_()
    shrink = (sums.top - new).exp_()
    sums.total.mul_(shrink).add_(exact.sum(dim=-1, keepdim=True))
    sums.top.copy_(new)
    if write:
        tile.copy_(exact)
        tile.scatter_(1, index, tile.gather(1, index).masked_fill(inside, 0.0))
    return shrink


def _walk(hidden: Tensor, head: Head, targets: Tensor, space: Space, pull: bool,
          step: Step = softmax_tile) -> tuple[Tensor, Tensor, Tensor]:
    """Of a chunk's logits z, tile by tile: logsumexp(z) [N], z at the target [N], sum_v softmax(z)_v W_v without the target's.

    m is the largest logit so far, so nothing overflows; what was summed before is scaled when m grows (online softmax:
    Milakov and Gimelshein, 2018; of the product too: FlashAttention). pull: whether the last [N, H] is wanted.
    """
    count = len(hidden)
    top = hidden.new_full((count, 1), -torch.inf, dtype=torch.promote_types(hidden.dtype, torch.float32))
    sums = Sums(top, torch.zeros_like(top), torch.zeros_like(top))
    pulled = torch.zeros(count, hidden.shape[1] if pull else 0, dtype=top.dtype, device=top.device)
    for begin, end in sizes.tiles(head.vocabulary):
        tile = space.narrow[:count * (end - begin)].view(count, end - begin)
        rows, scale = head.rows(begin, end), head.scale(begin, end)
        _logits(hidden, rows, scale, head.bias(begin, end), out=tile)
        shrink = step(tile, targets, begin, sums, space, pull)
        if pull:
            if scale is not None:
                tile *= scale
            pulled.mul_(shrink).add_(torch.mm(tile, rows, out=space.product[:count]))
        del rows                       # of an int8 head a tile of its own, which goes before the next one is made
    return (sums.top + sums.total.log()).squeeze(1), sums.chosen.squeeze(1), pulled.div_(sums.total)


def _within(targets: Tensor, begin: int, end: int) -> tuple[Tensor, Tensor]:
    """(column of each target in this tile [N, 1], whether it lies there [N, 1]); no wait for a GPU."""
    return (targets - begin).clamp(0, end - begin - 1)[:, None], ((targets >= begin) & (targets < end))[:, None]


def chunked_cross_entropy(hidden: Tensor, head: Tensor | Head, targets: Tensor, weights: Tensor, *,
                          denominator: float, chunk: int = sizes.HEAD_ROWS, bias: Tensor | None = None,
                          step: Step = softmax_tile) -> Tensor:
    """Weighted negative log-likelihood in nats, divided by `denominator`.

    hidden [N, H] of the supervised positions, head [V, H] (frozen), targets [N] token ids,
    weights [N] float32, denominator: the sum of weights over the whole optimiser step, so that
    accumulated micro-batches add up to the mean of the step. Differentiable in `hidden` only; without a
    gradient wanted, none is made. step: what is done to each tile of logits.
    """
    projection = DenseHead(head, bias) if isinstance(head, Tensor) else head
    return _ChunkedCrossEntropy.apply(hidden, projection, targets, weights, denominator, chunk, step)


def token_losses(hidden: Tensor, head: Head, targets: Tensor, chunk: int = sizes.HEAD_ROWS) -> Tensor:
    """Negative log-likelihood in nats [N] of each target, without gradient; `chunk` rows at a time."""
    if not len(hidden):
        return hidden.new_empty(0, dtype=torch.float32)
    space, losses = Space(hidden, head, chunk), []
    for start in range(0, len(hidden), chunk):
        part = slice(start, start + chunk)
        total, chosen, _ = _walk(hidden[part], head, targets[part], space, pull=False)
        losses.append(total - chosen)
    return torch.cat(losses)


def reference_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, *,
                            denominator: float, bias: Tensor | None = None) -> Tensor:
    """The same number through full logits and PyTorch's own cross-entropy: slow, obvious, the oracle."""
    logits = functional.linear(hidden, head, bias).float()
    return (functional.cross_entropy(logits, targets, reduction="none") * weights.float()).sum() / denominator
