"""Planning tonight's training, and doing it."""
from __future__ import annotations

from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.config import Config
from edge_sleep.data import tonight
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.examples import conversation
from edge_sleep.data.experience import Example, Experience
from edge_sleep.device import allocator, detect, memory, profile, shortage
from edge_sleep.errors import Outcome
from edge_sleep.model import base as base_model
from edge_sleep.model import shape
from edge_sleep.stages.context import Night, Request, interrupted
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home
from edge_sleep.train import forecast, planner
from edge_sleep.train.budget import reserve

HELD_OUT = 64                              # most held-out examples that training watches


def declare(home: Home, place: base_model.BaseSource, config: Config, device: detect.Device, created: str) -> base_model.Base:
    """The home's base; with its first night its form is settled: int8 tables where asked, or where full ones do not fit."""
    asked = config.companion.embedding
    if asked == "auto":
        fits = planner.fits_with_full_embedding(shape.read(place.folder), config, device=device.kind, dtype=device.compute_dtype,
                                                available_bytes=memory.for_this_process_bytes(), libc=allocator.libc())
        asked = "full" if fits else "int8"
    form = base_model.INT8_EMBEDDING if asked == "int8" else base_model.QUANTISATION
    return base_model.declare(home, place, device, created, form)


def plan(night: Night) -> planner.Plan:
    plan = forecast.forecast(night.home, night.config, night.place, night.device, night.base.sha256,
                             night.examples, night.request.board or profile.detect()[0])
    night.record["plan"] = {"peak_bytes": plan.peak_bytes, "seconds": round(plan.seconds, 1), "where": plan.where,
                            "reasons": [f"{choice['name']} {choice['value']}: {choice['reason']}" for choice in plan.choices]}
    night.events("plan", **plan.as_json())
    if plan.give_back and not night.request.dry_run:
        night.events("allocator", given_back=allocator.give_back_at_once())
    return plan


def train(night: Night, plan: planner.Plan) -> tuple[Outcome, str] | None:
    """Train until the plan is done (candidate saved, None) or something named stops it (state saved)."""
    from edge_sleep.train.session import TrainingStop, train_candidate

    judged = forecast.seconds_of_judging(night.home, night.base.entry())

    def reserved(load_seconds: float) -> float:
        night.contract.reserve_seconds = reserve(night.config.budget.time, night.config.budget.reserve, load_seconds, judged)
        return night.contract.reserve_seconds

    result = train_candidate(night.base, night.device, night.config, night.examples, night.parent_folder, night.state,
                             plan, night.contract, night.clock, night.events, reserved, lambda: interrupted(night),
                             _held_out(night))
    shortage.give_back()                 # the judge loads a model of its own
    night.record["train"] = result.train
    night.record["measured"] |= result.measured
    night.record["data"] |= result.data
    if result.stop is TrainingStop.FINISHED:
        return None
    if result.stop is TrainingStop.DEADLINE:
        return Outcome.STOPPED_TIME, result.reason
    return Outcome.PREEMPTED, result.reason


def _held_out(night: Night) -> list[Example]:
    """Conversations never trained on, the last of those held out: the gate asks about the first."""
    in_context = night.config.data.context > 0
    return [Example(conversation(item.prompt, item.response, item.context if in_context else ()), 1.0, "new", item.id,
                    not item.trimmed) for item in night.held_out[-HELD_OUT:]]


def ahead(home: Home, config: Config, request: Request) -> dict[str, Any]:
    """What tonight would do with the experiences the home holds now; allocates nothing, writes nothing."""
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    known = read_json(home.base, "base record")["sha256"] if home.base.is_file() else None
    new: list[Experience] = []
    lesson: list[Example] = []
    if home.experiences.is_file():
        with Buffer(home.experiences) as buffer:
            new, earlier, _ = tonight.choose(buffer, config)
        lesson = tonight.compose(new, earlier, config, base_folder=place.folder, parent=store.incumbent(home)) if new else []
    device = base_model.settled(home, detect.choose(config.companion.compute_dtype))
    board = request.board or profile.detect()[0]
    planned = forecast.forecast(home, config, place, device, known, lesson, board)
    ready = "yes" if len(new) >= config.data.min_new else "no"
    return planned.as_json() | {"choices": [
        {"name": "night", "value": ready, "reason": f"{len(new)} new experiences, {config.data.min_new} are needed"},
        *planned.choices, forecast.largest_model(config, board, device)]}
