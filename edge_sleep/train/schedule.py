"""The learning rate of every step: a pure function, so that a resumed night takes the steps it would have taken."""
from __future__ import annotations

import math

from edge_sleep.config import Train

_LAST = 0.1                                # of the peak: where every schedule ends


def rate_at(step: int, planned: int, settings: Train, cooling: int | None = None, in_epoch: int = 1) -> float:
    """The rate of optimiser step `step` of `planned`; with `cooling`, of a last epoch of `in_epoch` steps begun there."""
    peak = settings.learning_rate
    if cooling is None:
        return warm_cosine(step, planned, settings.warmup, peak)
    return cosine(step - cooling, in_epoch, warm_cosine(cooling, planned, settings.warmup, peak), _LAST * peak)


def warm_cosine(step: int, steps: int, warmup: float, peak: float) -> float:
    """Linear warm-up over `warmup` of the steps, then a cosine down to a tenth of the peak."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return peak * (step + 1) / rising
    return cosine(step - rising, steps - rising, peak, _LAST * peak)


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """From `start` to `end` along half a cosine (Loshchilov and Hutter, 2017, without restarts)."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / max(1, steps)))
