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
from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.train.schedule import rate_at
from edge_sleep.train.shrink import give_back, out_of_memory, parts
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
          on_shrink: Callable[[Progress, str], None] = lambda progress, who: None,
          monotonic: Callable[[], float], state_every: float, first_step_seconds: float = 0.0, packed: bool = False,
          split: int = 1) -> Training:
    """Train the adapter in `model` on `examples`.

    loss_of(model, batch, denominator): differentiable loss of one micro-batch, in nats per unit of weight.
    may_step(step_seconds): None to go on, or the reason to stop before the next optimiser step.
    first_step_seconds: what a step takes until one has been timed; the plan's figure.
    packed: short examples share rows; the same batches, laid out otherwise.
    split: parts of each micro-batch, one after another, from the first step on.
    on_shrink(progress, who): memory ran out, and the step is tried again in `progress.split` parts.
    save / restore: full state out and in; restore None begins at step 0.
    Raises ModelError where nothing is trainable, gradients do not arrive, or the loss is not finite; DoesNotFit
    where memory runs out with one example at a time.
    """
    import torch

    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not parameters:
        raise ModelError("no trainable parameter: the adapter is not attached, or was loaded frozen")
    device = next(iter(parameters.values())).device
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate,
                                  weight_decay=settings.weight_decay, foreach=False)
    progress = restore(parameters, optimiser) if restore else Progress(split=split)
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
            step_loss, who = _attempt(model, examples, group, pad, packed, loss_of, device, progress.split)
            if who is not None:
                optimiser.zero_grad(set_to_none=True)
                most = max(map(len, group))
                if progress.split >= most:
                    save(parameters, optimiser, progress)
                    raise DoesNotFit(f"memory ran out ({who}) at step {progress.step + 1} with one example at a time",
                                     "lower data.max_tokens or train.loss_chunk, or free memory; the state is saved")
                progress.split = min(2 * progress.split, most)
                on_shrink(progress, who)
                continue

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


def _attempt(model: Any, examples: Sequence[TokenisedExample], group: list[list[int]], pad: int, packed: bool,
             loss_of: Callable[[Any, dict, float], Any], device: Any, split: int) -> tuple[float, str | None]:
    """(loss of the step, None), or who ran out of memory, with the random state as it was before."""
    import torch

    chance = torch.get_rng_state()
    chance_gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    try:
        return _accumulate(model, examples, group, pad, packed, loss_of, device, split), None
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


def _accumulate(model: Any, examples: Sequence[TokenisedExample], group: list[list[int]], pad: int, packed: bool,
                loss_of: Callable[[Any, dict, float], Any], device: Any, split: int) -> float:
    """Backward of every micro-batch of one step, each in `split` parts where memory ran out before.

    The denominator spans the step, so the sum of all parts is its mean: the same gradient in any number of parts.
    """
    denominator = sum(examples[index].weight * examples[index].supervised for batch in group for index in batch)
    total = 0.0
    for batch in (part for whole in group for part in parts(whole, split)):
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
