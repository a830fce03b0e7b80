"""Weighted cross-entropy of a language-model head, without ever holding all logits.

    L = sum_t w_t * ( logsumexp_v(h_t . W_v) - h_t . W_{y_t} ) / denominator

over supervised tokens t only. The head W is frozen, so the only gradient is dL/dh, and it is made in the forward
pass, chunk by chunk of tokens: dL/dh_t = w_t * (softmax(h_t W^T) - onehot(y_t)) W / denominator. Within a chunk the
vocabulary is walked in tiles that fit a processor's cache: the logits of a chunk are kept in the head's own type, and
float32 is one tile wide. The math, and who else does it: kernels/linear_cross_entropy/README.md.
"""
from __future__ import annotations

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


def logits_of(hidden: Tensor, head: Head, begin: int, end: int, out: Tensor | None = None) -> Tensor:
    """Logits [N, end - begin] of hidden states [N, H] for a part of the vocabulary, in their type."""
    logits = torch.mm(hidden, head.rows(begin, end).t(), out=out)
    scale, bias = head.scale(begin, end), head.bias(begin, end)
    if scale is not None:
        logits *= scale
    return logits if bias is None else logits.add_(bias)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(context, hidden: Tensor, head: Head, targets: Tensor, weights: Tensor, denominator: float, chunk: int) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        gradient = torch.empty_like(hidden) if context.needs_input_grad[0] else None
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        # Made once and used by every chunk: fresh pages cost a CPU more than the arithmetic on them.
        most = min(chunk, len(hidden))
        store = hidden.new_empty(most * head.vocabulary)
        scratch = hidden.new_empty(most * min(sizes.TILE, head.vocabulary), dtype=wide)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            scale = weights[part].to(wide) / denominator
            tiles, largest, total, chosen = _exponentials(hidden[part], head, targets[part], store, scratch)
            loss += ((total - chosen) * scale).sum()
            if gradient is not None:
                gradient[part] = _gradient(tiles, largest, total, chosen, scale, targets[part], head)
        context.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(context, upstream: Tensor):
        (gradient,) = context.saved_tensors
        return gradient * upstream, None, None, None, None, None


def _exponentials(hidden: Tensor, head: Head, targets: Tensor, store: Tensor,
                  scratch: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """Of a chunk's logits z: exp(z - m) tile by tile in `store`, each tile's m [N, 1], logsumexp(z) [N], z at the target [N].

    m is the largest logit so far, so nothing overflows (online softmax: Milakov and Gimelshein, 2018).
    """
    count = len(hidden)
    tiles, largest = [], []
    top = scratch.new_full((count, 1), -torch.inf)
    total, chosen = torch.zeros_like(top), torch.zeros_like(top)
    for begin, end in sizes.tiles(head.vocabulary):
        tile = store[count * begin:count * end].view(count, end - begin)
        logits_of(hidden, head, begin, end, out=tile)
        index, inside = _within(targets, begin, end)
        chosen += torch.where(inside, tile.gather(1, index).to(chosen.dtype), 0.0)
        new = torch.maximum(top, tile.amax(dim=-1, keepdim=True).to(top.dtype))
        exact = scratch[:tile.numel()].view_as(tile).copy_(tile).sub_(new).exp_()
        total = total * (top - new).exp() + exact.sum(dim=-1, keepdim=True)
        tile.copy_(exact)
        top = new
        tiles.append(tile)
        largest.append(top)
    return tiles, largest, (top + total.log()).squeeze(1), chosen.squeeze(1)


def _gradient(tiles: list[Tensor], largest: list[Tensor], total: Tensor, chosen: Tensor, scale: Tensor, targets: Tensor,
              head: Head) -> Tensor:
    """dL/dh [N, H] of a chunk, in the type of `total`."""
    gradient: Tensor | float = 0.0
    for (begin, end), tile, top in zip(sizes.tiles(head.vocabulary), tiles, largest, strict=True):
        index, inside = _within(targets, begin, end)
        tile.scatter_(1, index, tile.gather(1, index).masked_fill(inside, 0.0))
        of_rows = head.scale(begin, end)
        if of_rows is not None:
            tile *= of_rows
        gradient = gradient + (tile @ head.rows(begin, end)) * ((top.squeeze(1) - total).exp() * scale)[:, None]
    # The target's own term by itself, in full precision: near certainty p - 1 is all that is left to learn, and a
    # bfloat16 p would lose it.
    error = torch.expm1(chosen - total) * scale
    return gradient + error[:, None] * head.lookup(targets)


def _within(targets: Tensor, begin: int, end: int) -> tuple[Tensor, Tensor]:
    """(column of each target in this tile [N, 1], whether it lies there [N, 1]); no wait for a GPU."""
    return (targets - begin).clamp(0, end - begin - 1)[:, None], ((targets >= begin) & (targets < end))[:, None]


def chunked_cross_entropy(hidden: Tensor, head: Tensor | Head, targets: Tensor, weights: Tensor, *,
                          denominator: float, chunk: int = 128, bias: Tensor | None = None) -> Tensor:
    """Weighted negative log-likelihood in nats, divided by `denominator`.

    hidden [N, H] of the supervised positions, head [V, H] (frozen), targets [N] token ids,
    weights [N] float32, denominator: the sum of weights over the whole optimiser step, so that
    accumulated micro-batches add up to the mean of the step. Differentiable in `hidden` only; without a
    gradient wanted, none is made.
    """
    projection = DenseHead(head, bias) if isinstance(head, Tensor) else head
    return _ChunkedCrossEntropy.apply(hidden, projection, targets, weights, denominator, chunk)


def token_losses(hidden: Tensor, head: Head, targets: Tensor, chunk: int) -> Tensor:
    """Negative log-likelihood in nats [N] of each target, without gradient; `chunk` rows of logits at a time."""
    if not len(hidden):
        return hidden.new_empty(0, dtype=torch.float32)
    most = min(chunk, len(hidden))
    store = hidden.new_empty(most * head.vocabulary)
    scratch = hidden.new_empty(most * min(sizes.TILE, head.vocabulary), dtype=torch.promote_types(hidden.dtype, torch.float32))
    losses = []
    for start in range(0, len(hidden), chunk):
        part = slice(start, start + chunk)
        _, _, total, chosen = _exponentials(hidden[part], head, targets[part], store, scratch)
        losses.append(total - chosen)
    return torch.cat(losses)


def reference_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, *,
                            denominator: float, bias: Tensor | None = None) -> Tensor:
    """The same number through full logits and PyTorch's own cross-entropy: slow, obvious, the oracle."""
    logits = functional.linear(hidden, head, bias).float()
    return (functional.cross_entropy(logits, targets, reduction="none") * weights.float()).sum() / denominator
