"""What one tile of logits becomes on the way to the gradient, by the formula; the oracle of softmax_tile."""
from __future__ import annotations

import torch
from torch import Tensor


def softmax_tile(logits: Tensor, targets: Tensor, begin: int, top: Tensor, total: Tensor,
                 chosen: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(exp(logits - new top) with zero at the target [N, C], top, total, chosen, factor of earlier sums, each [N]).

    logits [N, C] of columns `begin` on; targets [N] of the whole vocabulary; top, total, chosen [N] of the tiles before.
    """
    new = torch.maximum(top, logits.amax(-1))
    factor = torch.exp(top - new)
    values = torch.exp(logits - new[:, None])
    at_target = torch.arange(begin, begin + logits.shape[1], device=logits.device) == targets[:, None]
    return (values.masked_fill(at_target, 0), new, total * factor + values.sum(-1),
            chosen + torch.where(at_target, logits, torch.zeros_like(logits)).sum(-1), factor)
