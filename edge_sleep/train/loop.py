"""The training loop: one page, one optimiser, a named reason to stop.

Deterministic by construction: the order of data is a pure function of seed and epoch, state is saved
only between optimiser steps, so stopping and resuming gives the same weights as never stopping.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edge_sleep.config import Train
from edge_sleep.data.dataset import TokenisedExample, collate, epoch_order
from edge_sleep.errors import ModelError
from edge_sleep.train.schedule import rate_at
from edge_sleep.train.state import Progress


class Stop(str, Enum):
    """Why the loop ended."""

    FINISHED = "finished"
    DEADLINE = "deadline"
    PREEMPTED = "preempted"
    SIGNAL = "signal"
    LOSS_FLOOR = "loss_floor"


@dataclass
class Training:
    stop: Stop
    progress: Progress
    steps: int                          # planned optimiser steps


def planned_steps(examples: Sequence[TokenisedExample], settings: Train) -> int:
    """Optimiser steps of all epochs; the last one of an epoch is perhaps smaller."""
    return sum(math.ceil(len(epoch_order(examples, settings.micro_batch, settings.seed, epoch)) / settings.grad_accum_steps)
               for epoch in range(settings.epochs))


def train(model: Any, examples: Sequence[TokenisedExample], settings: Train, *, pad: int,
          loss_of: Callable[[Any, dict, float], Any], may_step: Callable[[float], Stop | None],
          save: Callable[[dict, Any, Progress], None], restore: Callable[[dict, Any], Progress] | None = None,
          on_step: Callable[[Progress, int, float], None] = lambda progress, steps, rate: None,
          monotonic: Callable[[], float], state_every: float, first_step_seconds: float = 0.0, packed: bool = False) -> Training:
    """Train the adapter in `model` on `examples`.

    loss_of(model, batch, denominator): differentiable loss of one micro-batch, in nats per unit of weight.
    may_step(step_seconds): None to go on, or the reason to stop before the next optimiser step.
    first_step_seconds: what a step takes until one has been timed; the plan's figure.
    packed: short examples share rows; the same batches, laid out otherwise.
    save / restore: full state out and in; restore None begins at step 0.
    Raises ModelError where nothing is trainable, gradients do not arrive, or the loss is not finite.
    """
    import torch

    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not parameters:
        raise ModelError("no trainable parameter: the adapter is not attached, or was loaded frozen")
    device = next(iter(parameters.values())).device
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate,
                                  weight_decay=settings.weight_decay, foreach=False)
    progress = restore(parameters, optimiser) if restore else Progress()
    planned = planned_steps(examples, settings)
    model.train()
    last_saved = monotonic()
    slowest = progress.seconds / progress.step if progress.step else first_step_seconds
    timed = 0

    def finish(reason: Stop) -> Training:
        if reason is not Stop.FINISHED and reason is not Stop.LOSS_FLOOR:
            save(parameters, optimiser, progress)
        return Training(reason, progress, planned)

    epochs = settings.epochs if progress.cooling is None else progress.epoch + 1
    while progress.epoch < epochs:
        batches = epoch_order(examples, settings.micro_batch, settings.seed, progress.epoch)
        in_epoch = math.ceil(len(batches) / settings.grad_accum_steps)
        while progress.batch < len(batches):
            reason = may_step(slowest)
            if reason is not None:
                return finish(reason)
            began = monotonic()
            group = batches[progress.batch:progress.batch + settings.grad_accum_steps]
            step_loss = _accumulate(model, examples, group, pad, packed, loss_of, device)

            # --- the optimiser step -------------------------------------------------------------
            if progress.step == 0:
                _check_gradients(parameters)
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip)
            if not (math.isfinite(step_loss) and torch.isfinite(norm)):
                raise ModelError(f"loss {step_loss} at step {progress.step + 1} is not finite",
                                 "lower train.learning_rate; the incumbent is untouched")
            rate = rate_at(progress.step, planned, settings, progress.cooling, in_epoch)
            for group_of_parameters in optimiser.param_groups:
                group_of_parameters["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            # ------------------------------------------------------------------------------------

            taken = [examples[index] for batch in group for index in batch]
            progress.step += 1
            progress.batch += len(group)
            progress.tokens += sum(len(example.ids) for example in taken)
            progress.supervised_tokens += sum(example.supervised for example in taken)
            progress.losses.append(step_loss)
            seconds = monotonic() - began
            progress.seconds += seconds
            slowest = seconds if timed == 0 else max(seconds, 0.9 * slowest)
            timed += 1
            on_step(progress, planned if progress.cooling is None else progress.cooling + in_epoch, rate)
            if monotonic() - last_saved >= state_every:
                save(parameters, optimiser, progress)
                last_saved = monotonic()
        recent = progress.losses[-max(1, planned // settings.epochs):]
        progress.epoch += 1
        progress.batch = 0
        if sum(recent) / len(recent) < settings.loss_floor and progress.epoch < epochs and progress.cooling is None:
            progress.cooling, epochs = progress.step, progress.epoch + 1
    return finish(Stop.FINISHED if progress.cooling is None else Stop.LOSS_FLOOR)


def _accumulate(model: Any, examples: Sequence[TokenisedExample], group: list[list[int]], pad: int, packed: bool,
                loss_of: Callable[[Any, dict, float], Any], device: Any) -> float:
    """Backward of every micro-batch of one step; the denominator spans the step, so their sum is its mean."""
    denominator = sum(examples[index].weight * examples[index].supervised for batch in group for index in batch)
    total = 0.0
    for batch in group:
        tensors = {name: value.to(device) for name, value in collate([examples[i] for i in batch], pad, packed).items()}
        loss = loss_of(model, tensors, denominator)
        loss.backward()
        total += loss.item()
    return total


def _check_gradients(parameters: dict[str, Any]) -> None:
    """Every adapter matrix must have received a gradient: 4-bit layers on a CPU can lose it silently."""
    lost = [name for name, value in parameters.items() if value.grad is None]
    if lost:
        raise ModelError(f"no gradient reached {len(lost)} of {len(parameters)} adapter tensors, first {lost[0]}",
                         "`edge-sleep doctor` tries the backward pass of bitsandbytes on this machine")
