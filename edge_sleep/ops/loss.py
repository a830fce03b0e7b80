"""Weighted cross-entropy of a language-model head, without ever holding all logits.

    L = sum_t w_t * ( logsumexp_v(h_t . W_v) - h_t . W_{y_t} ) / denominator

over supervised tokens t only. The head W is frozen, so the only gradient is dL/dh, and it is made
in the forward pass, chunk by chunk: dL/dh_t = w_t * (softmax(h_t W^T) - onehot(y_t)) W / denominator.
Peak memory is one [chunk, V] float32 tensor and its copy in the head's type, instead of four [T, V] (Liger-Kernel's fused linear
cross-entropy is the published form of the idea; weights per token are ours).
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(context, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor,
                weights: Tensor, denominator: float, chunk: int) -> Tensor:
        gradient = torch.empty_like(hidden)
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            scale = weights[part] / denominator
            # One [chunk, V] tensor in float32, turned in place from logits into the gradient: a library's logsumexp
            # or softmax would hold a second one.
            logits = functional.linear(hidden[part], head, bias).float()
            largest = logits.amax(dim=-1, keepdim=True)
            logits.sub_(largest)
            chosen = logits.gather(1, targets[part, None]).squeeze(1)
            total = logits.exp_().sum(dim=-1)
            loss += ((total.log() - chosen) * scale).sum()
            probabilities = logits.mul_((scale / total)[:, None])
            probabilities.scatter_add_(1, targets[part, None], -scale[:, None])
            gradient[part] = probabilities.to(head.dtype) @ head
            del logits, probabilities      # or the next chunk's logits would stand beside this one's
        context.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(context, upstream: Tensor):
        (gradient,) = context.saved_tensors
        return gradient * upstream, None, None, None, None, None, None


def chunked_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, *,
                          denominator: float, chunk: int = 128, bias: Tensor | None = None) -> Tensor:
    """Weighted negative log-likelihood in nats, divided by `denominator`.

    hidden [N, H] of the supervised positions, head [V, H] (frozen), targets [N] token ids,
    weights [N] float32, denominator: the sum of weights over the whole optimiser step, so that
    accumulated micro-batches add up to the mean of the step. Differentiable in `hidden` only.
    """
    return _ChunkedCrossEntropy.apply(hidden, head, bias, targets, weights.float(), denominator, chunk)


def reference_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, *,
                            denominator: float, bias: Tensor | None = None) -> Tensor:
    """The same number through full logits and PyTorch's own cross-entropy: slow, obvious, the oracle."""
    logits = functional.linear(hidden, head, bias).float()
    return (functional.cross_entropy(logits, targets, reduction="none") * weights.float()).sum() / denominator
