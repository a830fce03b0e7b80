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
from edge_sleep.data.dataset import TokenisedExample, epoch_order
from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.train import scaling
from edge_sleep.train.gradient import Attempt, attempt, check
from edge_sleep.train.held_out import mean_loss, stalled
from edge_sleep.train.room import Room
from edge_sleep.train.schedule import rate_at
from edge_sleep.train.state import Progress
from edge_sleep.train.team import ALONE, Team


class Stop(str, Enum):
    """Why the loop ended."""

    FINISHED = "finished"
    DEADLINE = "deadline"
    PREEMPTED = "preempted"
    SIGNAL = "signal"
    LOSS_FLOOR = "loss_floor"
    HELD_OUT = "held_out"
    HEAT = "heat"                       # or power
    SHORTENED = "shortened"             # to what heat leaves time for


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
          on_rescale: Callable[[Progress], None] = lambda progress: None,
          on_held_out: Callable[[Progress], None] = lambda progress: None, held_out: Sequence[TokenisedExample] = (),
          boundary: Callable[[], Stop | None] = lambda: None, rested: Callable[[], float] = lambda: 0.0,
          too_much: Callable[[float, float], bool] = lambda whole, least: False,
          monotonic: Callable[[], float], state_every: float, first_step_seconds: float = 0.0, packed: bool = False,
          micro_batch: int | None = None, first_scale: float = 1.0, team: Team = ALONE, room: Room | None = None) -> Training:
    """Train the adapter in `model` on `examples`.

    loss_of(model, batch, denominator): differentiable loss of one forward's examples, in nats per unit of weight.
    may_step(step_seconds): None to go on, or the reason to stop before the next optimiser step.
    first_step_seconds: what a step takes until one has been timed; the plan's figure.
    packed: short examples share rows; the same batches, laid out otherwise.
    micro_batch: examples per forward from the first step on, whatever settings.micro_batch made of the order of data.
    on_shrink(progress, who): memory ran out, and the step is tried again with `progress.micro_batch` examples per forward.
    first_scale: of the loss (train/scaling.py); at 1 it stays, and a gradient that is not finite ends the training.
    on_rescale(progress): a step overflowed, and is tried again at `progress.scale`.
    held_out: examples that settings.patience watches: their loss before training and behind each epoch (on_held_out), which
    where it no longer falls makes the next epoch the last, of a falling rate.
    boundary(): called before each forward, and may rest there; a reason to stop ends the step, which is not taken.
    rested(): seconds of rest so far; they are no part of what a step takes.
    too_much(whole, least): behind each epoch, whether `whole` seconds of work are too much for tonight, and `least`, those of
    one epoch, are not: the next epoch is then the last, of a falling rate.
    save / restore: full state out and in; restore None begins at step 0.
    room: asked before each forward whether it fits (train/room.py); one that would not shrinks as one that did not.
    team: the processes that share each step. The first alone is asked may_step, and alone saves; the on_... are called in each.
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
    progress = restore(parameters, optimiser) if restore else Progress(
        micro_batch=micro_batch or settings.micro_batch, scale=first_scale)
    planned = planned_steps(examples, settings)
    model.train()
    last_saved = monotonic()
    slowest = progress.seconds / progress.step if progress.step else first_step_seconds
    timed = 0

    def keep() -> None:
        if team.leads:
            save(parameters, optimiser, progress)

    def asked(seconds: float) -> Stop | None:
        return team.decided(lambda: may_step(seconds))

    def at_boundary() -> str | None:
        reason = boundary()
        return None if reason is None else reason.value

    def nothing_said() -> str | None:
        return None

    def finish(reason: Stop) -> Training:
        if reason in (Stop.DEADLINE, Stop.PREEMPTED, Stop.SIGNAL, Stop.HEAT):
            keep()
        return Training(reason, progress, planned)

    def gentler(failed: Attempt, examples_of_step: int) -> None:
        """The same step will be tried again, with fewer examples per forward or at a lower scale; or nothing is left to try."""
        if failed.who is not None:
            most = min(progress.micro_batch, -(-examples_of_step // team.size))
            if most == 1:
                keep()
                raise DoesNotFit(f"memory ran out ({failed.who}) at step {progress.step + 1} with one example at a time",
                                 "lower data.max_tokens or train.loss_chunk, or free memory; the state is saved")
            progress.micro_batch = -(-most // 2)
            on_shrink(progress, failed.who)
            return
        less = scaling.lowered(progress.scale) if first_scale != 1.0 else None
        if not math.isfinite(failed.loss) or less is None:
            raise ModelError(f"loss {failed.loss} at step {progress.step + 1}, or its gradient, is not finite",
                             "lower train.learning_rate; the incumbent is untouched")
        progress.scale, progress.good_steps = less, 0
        on_rescale(progress)

    def watch() -> None:
        progress.held_out.append(team.decided(lambda: mean_loss(
            model, held_out, pad=pad, packed=packed, loss_of=loss_of, device=device, micro_batch=progress.micro_batch)))
        on_held_out(progress)

    watched = bool(settings.patience and held_out)
    if watched and not progress.held_out:
        watch()
    epochs = settings.epochs if progress.cooling is None else progress.epoch + 1
    while progress.epoch < epochs:
        batches = epoch_order(examples, settings.micro_batch, settings.seed, progress.epoch)
        in_epoch = math.ceil(len(batches) / settings.grad_accum_steps)
        while progress.batch < len(batches):
            reason = asked(slowest)
            if reason is not None:
                return finish(reason)
            began, rested_before = monotonic(), rested()
            group = batches[progress.batch:progress.batch + settings.grad_accum_steps]
            step = [index for batch in group for index in batch]
            team.seed_for(settings.seed, progress.step)
            tried = attempt(model, parameters, examples, step, pad, packed, loss_of, device, progress.micro_batch,
                            progress.scale, team, room, at_boundary if team.leads else nothing_said)
            if not tried.good:
                optimiser.zero_grad(set_to_none=True)
                if tried.halt is not None:
                    return finish(Stop(tried.halt))
                gentler(tried, len(step))
                continue

            # --- the optimiser step -------------------------------------------------------------
            check(parameters, progress.step)
            torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip)
            rate = rate_at(progress.step, planned, settings, progress.cooling, in_epoch)
            for group_of_parameters in optimiser.param_groups:
                group_of_parameters["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            # ------------------------------------------------------------------------------------

            taken = [examples[index] for index in step]
            progress.step += 1
            progress.batch += len(group)
            progress.tokens += sum(len(example.ids) for example in taken)
            progress.supervised_tokens += sum(example.supervised for example in taken)
            progress.losses.append(tried.loss)
            if first_scale != 1.0:
                progress.scale, progress.good_steps = scaling.after_a_good_step(progress.scale, progress.good_steps)
            seconds = monotonic() - began - (rested() - rested_before)
            progress.seconds += seconds
            slowest = seconds if timed == 0 else max(seconds, 0.9 * slowest)
            timed += 1
            on_step(progress, planned if progress.cooling is None else progress.cooling + in_epoch, rate)
            if monotonic() - last_saved >= state_every:
                keep()
                last_saved = monotonic()
        if watched:
            # Forward only: a step of as many examples takes longer.
            reason = asked(slowest * len(held_out) / settings.examples_per_step)
            if reason is not None:
                return finish(reason)
            watch()
        recent = progress.losses[-max(1, planned // settings.epochs):]
        progress.epoch += 1
        progress.batch = 0
        epoch_seconds = in_epoch * progress.seconds / progress.step
        shorten = team.decided(lambda: too_much((epochs - progress.epoch) * epoch_seconds, epoch_seconds))  # noqa: B023 - at once
        enough = (Stop.LOSS_FLOOR if sum(recent) / len(recent) < settings.loss_floor else
                  Stop.HELD_OUT if stalled(progress.held_out, settings.patience) else
                  Stop.SHORTENED if shorten else None)
        if enough is not None and progress.epoch < epochs and progress.cooling is None:
            progress.cooling, progress.cooling_for, epochs = progress.step, enough.value, progress.epoch + 1
    return finish(Stop.FINISHED if progress.cooling_for is None else Stop(progress.cooling_for))
