"""The gradient of one optimiser step, in as many forwards as memory has room for: any number gives the same one."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.train.shrink import forwards, give_back, out_of_memory


def attempt(model: Any, examples: Sequence[TokenisedExample], step: Sequence[int], pad: int, packed: bool,
            loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int) -> tuple[float, str | None]:
    """(loss of the step, None), or who ran out of memory, with the random state as it was before.

    step: indices of the examples of one optimiser step. micro_batch: examples per forward.
    """
    import torch

    chance = torch.get_rng_state()
    chance_gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    try:
        return _accumulate(model, examples, step, pad, packed, loss_of, device, micro_batch), None
    except (RuntimeError, MemoryError, OSError) as error:
        who = out_of_memory(error)
        if who is None:
            raise
    # Outside the handler: the error's traceback would keep the failed step's tensors alive.
    give_back()
    torch.set_rng_state(chance)
    if chance_gpu is not None:
        torch.cuda.set_rng_state(chance_gpu)
    return math.nan, who


def _accumulate(model: Any, examples: Sequence[TokenisedExample], step: Sequence[int], pad: int, packed: bool,
                loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int) -> float:
    """Backward of every forward of one step. The denominator spans the step, so that the sum of all is its mean."""
    denominator = sum(examples[index].weight * examples[index].supervised for index in step)
    total = 0.0
    for indices in forwards(step, [len(example.ids) for example in examples], micro_batch):
        batch = collate([examples[index] for index in indices], pad, packed)
        loss = loss_of(model, {name: value.to(device) for name, value in batch.items()}, denominator)
        loss.backward()
        total += loss.item()
    return total
