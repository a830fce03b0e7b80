"""The gradient of one optimiser step, in as many forwards as memory has room for: any number gives the same one."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.device.shortage import give_back, out_of_memory
from edge_sleep.errors import ModelError
from edge_sleep.train.room import Room
from edge_sleep.train.shrink import forwards
from edge_sleep.train.team import ALONE, Team


@dataclass(frozen=True)
class Attempt:
    """What came of it. Where it is not good, the random state is as it was before."""

    loss: float                        # of the step, nats per unit of weight
    norm: float                        # of its gradient
    who: str | None = None             # ran out of memory
    halt: str | None = None            # what was said between two forwards: the step was given up

    @property
    def good(self) -> bool:
        return self.who is None and self.halt is None and math.isfinite(self.loss) and math.isfinite(self.norm)


class _Halted(Exception):
    """Carries what was said at a boundary out of the forwards."""


def attempt(model: Any, parameters: Mapping[str, Any], examples: Sequence[TokenisedExample], step: Sequence[int], pad: int,
            packed: bool, loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int, scale: float,
            team: Team = ALONE, room: Room | None = None, boundary: Callable[[], str | None] = lambda: None) -> Attempt:
    """Leave the gradient of one step in `parameters`: the whole step's, in every process of the team.

    step: indices of its examples. micro_batch: examples per forward. scale: of the loss while it is differentiated;
    the gradient that is left has none. room: asked before each forward. boundary: called before each forward, where it may
    rest; what it returns ends the attempt.
    """
    import torch

    chance = torch.get_rng_state()
    chance_gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    who, halt, loss, norm = None, None, math.nan, math.nan
    try:
        loss = _accumulate(model, examples, step, pad, packed, loss_of, device, micro_batch, scale, team, room, boundary)
    except _Halted as halted:
        halt = str(halted)
    except (RuntimeError, MemoryError, OSError) as error:
        who = out_of_memory(error)
        if who is None:
            raise
    # Outside the handler: the error's traceback would keep the failed step's tensors alive.
    if who is not None:
        give_back()
    who, halt = team.first_said(who, device), team.first_said(halt, device)
    if who is None and halt is None:
        loss = team.sum_gradients(parameters, loss, device)
        norm = _unscale(parameters, scale)
    tried = Attempt(loss, norm, who, halt)
    if not tried.good:
        torch.set_rng_state(chance)
        if chance_gpu is not None:
            torch.cuda.set_rng_state(chance_gpu)
    return tried


def _accumulate(model: Any, examples: Sequence[TokenisedExample], step: Sequence[int], pad: int, packed: bool,
                loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int, scale: float,
                team: Team, room: Room | None, boundary: Callable[[], str | None]) -> float:
    """Backward of this process's forwards. The denominator spans the step, so that the sum of all is the step's mean."""
    denominator = sum(examples[index].weight * examples[index].supervised for index in step)
    own = team.share(sorted(step, key=lambda index: len(examples[index].ids)))
    total = 0.0
    for indices in forwards(own, [len(example.ids) for example in examples], micro_batch):
        if (said := boundary()) is not None:
            raise _Halted(said)
        batch = collate([examples[index] for index in indices], pad, packed)
        if room is not None:
            rows, tokens = batch["input_ids"].shape
            room.check(rows, tokens)
        loss = loss_of(model, {name: value.to(device) for name, value in batch.items()}, denominator / scale)
        loss.backward()
        total += loss.item() / scale
    return total


def _unscale(parameters: Mapping[str, Any], scale: float) -> float:
    """Divide every gradient by `scale`; the norm of all of them together."""
    import torch

    gradients = [value.grad for value in parameters.values() if value.grad is not None]
    if scale != 1.0:
        for gradient in gradients:
            gradient.mul_(1.0 / scale)
    return torch.stack([gradient.float().norm() for gradient in gradients]).norm().item() if gradients else 0.0


def check(parameters: Mapping[str, Any], step: int) -> None:
    """ModelError where gradients do not do their work at optimiser step `step` (from 0): 4-bit layers can lose them silently.

    At the first step the gradient of every A is zero, because B is. From the second on one that is zero throughout belongs to
    a matrix that the loss does not see.
    """
    lost = [name for name, value in parameters.items() if value.grad is None]
    if lost:
        raise ModelError(f"no gradient reached {len(lost)} of {len(parameters)} adapter tensors, first {lost[0]}",
                         "`edge-sleep doctor` tries the backward pass of bitsandbytes on this machine")
    empty = [name for name, value in parameters.items() if not value.grad.any()] if step == 1 else []
    if empty:
        raise ModelError(f"the gradient of {len(empty)} of {len(parameters)} adapter tensors is zero at step 2, first {empty[0]}",
                         "name modules that take part in the answer: `--set lora.targets=q_proj,v_proj`")


def check_moved(before: Mapping[str, Any], parameters: Mapping[str, Any], steps: int) -> None:
    """ModelError where training left a tensor as it was, after `steps` optimiser steps from `before`.

    One step from a fresh adapter moves every B and no A: the gradient of A is a multiple of B, which is zero.
    """
    import torch

    excused = {name for name in before if steps == 1 and "lora_A" in name and not before[name.replace("lora_A", "lora_B")].any()}
    still = [name for name, value in parameters.items() if torch.equal(value, before[name]) and name not in excused]
    if still:
        raise ModelError(f"training left {len(still)} of {len(parameters)} adapter tensors as they were, first {still[0]}",
                         "raise train.learning_rate, or name other modules with lora.targets; the incumbent is untouched")
