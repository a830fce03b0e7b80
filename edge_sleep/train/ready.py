"""A base on the disk made ready to train: loaded, the adapter on it, tonight's words as tokens, each op tried on the model."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_sleep.config import Train
from edge_sleep.data.dataset import TokenisedExample, tokenise_all
from edge_sleep.data.experience import Example
from edge_sleep.device.detect import Device
from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.model import adapter
from edge_sleep.model.base import LoadedBase, context_length, describe, load
from edge_sleep.model.forwards import looking_inside
from edge_sleep.system.events import EventLog
from edge_sleep.system.imports import looking
from edge_sleep.train import blocks, objective
from edge_sleep.train.work import Work


@dataclass(frozen=True)
class Ready:
    """model: the base with its adapter. loss_of: as `objective.chunked_objective` returns it. packed: whether examples may share
    rows. watched: what is never trained on and train.patience looks at. live: what was really loaded, read from the model."""

    model: Any
    pad: int
    load_seconds: float
    live: dict[str, Any]
    tokenised: list[TokenisedExample]
    too_long: int
    watched: list[TokenisedExample]
    loss_of: Callable
    packed: bool


def make_ready(work: Work, settings: Train, device: Device, watched: Sequence[Example], between: Callable[[], object],
               events: EventLog) -> Ready:
    """Load the base to `device` and make it ready for the work.

    between: called from import to import, from weight to weight and inside every trial forward; it may raise to give way.
    Raises DoesNotFit where no example fits the context, ModelError where one has a weight that teaches nothing.
    """
    loaded = load(work.base, device, between)
    live = describe(loaded.model)
    events("loaded", seconds=round(loaded.load_seconds, 2), how=loaded.how, **live)
    with looking(between), looking_inside(between):
        return _on_loaded(work, settings, loaded, live, watched, events)


def _on_loaded(work: Work, settings: Train, loaded: LoadedBase, live: dict[str, Any], watched: Sequence[Example],
               events: EventLog) -> Ready:
    config = work.config
    objective.prepare_for_training(loaded.model, settings.checkpointing is not False)
    if work.parent is None:
        model = adapter.attach_new(loaded.model, config.lora, settings.seed)
    else:
        model = adapter.attach_saved(loaded.model, work.parent, trainable=True)
    longest = min(config.data.max_tokens, context_length(loaded.model) or config.data.max_tokens)
    tokenised, too_long = tokenise_all(loaded.tokenizer, work.examples, config.companion.system_prompt, longest)
    if not tokenised:
        raise DoesNotFit(f"none of {len(work.examples)} examples fits into {longest} tokens",
                         "raise data.max_tokens, or use a model with a longer context")
    if strange := [example.weight for example in tokenised if not (math.isfinite(example.weight) and example.weight > 0)]:
        raise ModelError(f"{len(strange)} of {len(tokenised)} examples have a weight that teaches nothing, first {strange[0]}",
                         f"{work.folder} holds them; delete it to choose tonight's examples anew")
    loss_of, why = objective.chunked_objective(model, settings.loss_chunk)
    packed, why_packed = objective.can_pack(model) if settings.packing else (False, "not packed: train.packing is off")
    held_out, _ = tokenise_all(loaded.tokenizer, watched, config.companion.system_prompt, longest)
    if settings.patience and not held_out:
        why += "; no conversation is held out (data.held_out), so train.patience watches none"
    # After the packing trial, which compares bits: blocked attention centres keys over a whole row.
    swaps = blocks.make_lean(model, checkpointing=settings.checkpointing is not False)
    events("objective", reason=f"{why}; {why_packed}", ops=[str(swap) for swap in swaps], examples=len(tokenised),
           too_long=too_long)
    return Ready(model, loaded.tokenizer.pad_token_id, loaded.load_seconds, live, tokenised, too_long, held_out, loss_of, packed)
