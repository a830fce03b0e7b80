"""Planning tonight's training, and doing it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.config import Config, Neighbours
from edge_sleep.data import tonight
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.examples import conversation
from edge_sleep.data.experience import Example, Experience
from edge_sleep.device import allocator, detect, memory, shortage
from edge_sleep.errors import IntegrityError, Outcome, Preempted, SyncError
from edge_sleep.model import base as base_model
from edge_sleep.model import shape
from edge_sleep.stages import contest, pacing
from edge_sleep.stages.context import Night, Request, interrupted
from edge_sleep.system import base_record
from edge_sleep.system.home import Home
from edge_sleep.thor import ship
from edge_sleep.thor.ship import Here, There
from edge_sleep.train import candidates, forecast, planner
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
    plan = _forecast(night)
    if plan.where == "none" and night.device.kind == "gpu":
        plan = _on_the_cpu(night, plan)
    choices = [*plan.choices, *_room_for_candidates(night.home, night.config, plan, night.base.entry())]
    night.record["plan"] = {"peak_bytes": plan.peak_bytes, "seconds": round(plan.seconds, 1), "where": plan.where,
                            "reasons": [f"{choice['name']} {choice['value']}: {choice['reason']}" for choice in choices]}
    night.events("plan", **plan.as_json())
    if plan.give_back and not night.request.dry_run:
        night.events("allocator", given_back=allocator.give_back_at_once())
    return plan


def _forecast(night: Night) -> planner.Plan:
    return forecast.forecast(night.home, night.config, night.place, night.device, night.base.sha256, night.examples,
                             night.request.profile())


def _on_the_cpu(night: Night, on_gpu: planner.Plan) -> planner.Plan:
    """The plan for the CPU, and the night moved there, where the memory that the GPU lacks is enough for it."""
    why, gpu = on_gpu.choices[0]["reason"], night.device
    cpu = detect.on_cpu(night.config.companion.compute_dtype, f"the GPU is too small: {why}")
    night.device = base_model.settled(night.home, cpu)
    plan = _forecast(night)
    if plan.where == "none":
        night.device = gpu
        return on_gpu
    considered = night.record["environment"]["device_order"]
    for entry in considered:
        entry |= {"gpu": {"taken": False, "reason": f"memory: {why}"},
                  "cpu": {"taken": True, "reason": night.device.reason}}.get(entry["device"], {})
    night.record["environment"] |= {"device": night.device.reason, "sees": "cpu"}
    night.events("device", order=considered, fell="gpu to cpu", reason=why)
    return plan


def train(night: Night, plan: planner.Plan) -> tuple[Outcome, str] | None:
    """Train until the plan is done (candidate saved, None) or something named stops it (state saved)."""
    from edge_sleep.train.session import TrainingStop, train_candidate

    judged = forecast.seconds_of_judging(night.home, night.base.entry())

    def reserved(load_seconds: float) -> float:
        night.contract.reserve_seconds = reserve(night.config.budget.time, night.config.budget.reserve, load_seconds, judged)
        return night.contract.reserve_seconds

    def train_one(config: Config, examples: list[Example], folder: Path, plan: planner.Plan) -> contest.Trained:
        try:
            result = train_candidate(night.base, night.device, config, examples, night.parent_folder, folder, plan,
                                     night.contract, night.clock, night.events, reserved, lambda: interrupted(night),
                                     held_out_examples(night), night.pace)
        except Preempted as error:
            return error.outcome, error.message
        night.record["train"] |= result.train
        night.record["measured"] |= result.measured
        night.record["data"] |= result.data
        if result.stop is TrainingStop.FINISHED:
            return {"train": result.train, "measured": result.measured, "data": result.data}
        return {TrainingStop.DEADLINE: Outcome.STOPPED_TIME, TrainingStop.HEAT: Outcome.STOPPED_HEAT,
                TrainingStop.INTERRUPTED: Outcome.PREEMPTED}[result.stop], result.reason

    if night.candidates > 1:
        return contest.run(night, _plans(night, plan), train_one, reserved)
    result = train_one(night.config, night.examples, night.state, plan)
    shortage.give_back()                 # the judge loads a model of its own
    return result if isinstance(result, tuple) else None


def _plans(night: Night, plan: planner.Plan) -> list[planner.Plan]:
    """Each variant's own plan, made while nothing is loaded: later, what a first candidate left resident would count twice."""
    others = contest.of_night(night)[1:]
    return [plan, *(forecast.forecast(night.home, variant.config, night.place, night.device, night.base.sha256, night.examples,
                                      night.request.profile()) for variant in others)]



def held_out_examples(night: Night) -> list[Example]:
    """Conversations never trained on, the last of those held out: the gate asks about the first."""
    in_context = night.config.data.context > 0
    return [Example(conversation(item.prompt, item.response, item.context if in_context else ()), 1.0, "new", item.id,
                    not item.trimmed) for item in night.held_out[-HELD_OUT:]]


def ahead(home: Home, config: Config, request: Request) -> dict[str, Any]:
    """What tonight would do with the experiences the home holds now; allocates nothing, writes nothing."""
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    known = base_record.read(home)["sha256"] if home.base.is_file() else None
    new: list[Experience] = []
    lesson: list[Example] = []
    if home.experiences.is_file():
        with Buffer(home.experiences) as buffer:
            new, earlier, _ = tonight.choose(buffer, config)
        lesson = tonight.compose(new, earlier, config, base_folder=place.folder, parent=store.incumbent(home)) if new else []
    device = base_model.settled(home, detect.choose(config.companion.compute_dtype))
    board = request.profile()
    planned = forecast.forecast(home, config, place, device, known, lesson, board)
    ready = "yes" if len(new) >= config.data.min_new else "no"
    where, elsewhere = _elsewhere(home, config, planned)
    return planned.as_json() | {"where": where, "choices": [
        {"name": "night", "value": ready, "reason": f"{len(new)} new experiences, {config.data.min_new} are needed"},
        *planned.choices, *pacing.ahead(home, config, board), *_neighbours(config.neighbours),
        *_room_for_candidates(home, config, planned, {"source": place.source, "sha256": known}), *elsewhere,
        forecast.largest_model(config, board, device)]}


def _elsewhere(home: Home, config: Config, planned: planner.Plan) -> tuple[str, list[dict]]:
    """(Where the night would be trained, the plan's lines about another machine), where a mailbox is configured.

    What is known only once the night has begun, heat and a layer that was tried, is not among them.
    """
    if not config.thor.mailbox:
        return planned.where, []
    paired, unusable = paired_machines(home) if config.thor.ship != "never" else (0, None)
    decision = ship.decide(here(config, planned), There(config.thor.ship, True, paired, unusable))
    return "remote" if decision.where == "remote" else planned.where, [reason.as_choice() for reason in decision.reasons]


def here(config: Config, planned: planner.Plan) -> Here:
    """What a plan says of this machine; a night that has begun knows more (stages/ship.py)."""
    available = memory.for_this_process_bytes()
    return Here(planned.where != "none", planned.peak_bytes, min(available, config.budget.memory_bytes or available),
                training_seconds=planned.training_seconds, time_seconds=config.budget.time * (1 - config.budget.reserve),
                measured=planned.measured)


def paired_machines(home: Home) -> tuple[int, str | None]:
    """(How many machines may take a job of this home, why none can be asked)."""
    if not home.keys.is_dir():
        return 0, None
    from edge_sleep.seal.keys import Keys

    try:
        return len(Keys.open(home.keys).peers), None
    except (SyncError, IntegrityError) as error:
        return 0, error.message


def _neighbours(asked: Neighbours) -> list[dict]:
    """The plan's line about who is stopped: nothing is stopped for a plan, so it counts with what they leave now."""
    names = [*asked.units, *asked.user_units, *(["Ollama's models"] if asked.ollama else [])]
    return [{"name": "neighbours", "value": ", ".join(names), "reason": "the night stops what runs of them, plans again with the "
             "memory they leave, and brings them back"}] if names else []


def _room_for_candidates(home: Home, config: Config, planned: planner.Plan, base: dict) -> list[dict]:
    """The plan's line about `train.candidates`: how many of them the budget would hold."""
    if config.train.candidates == 1:
        return []
    judging = forecast.seconds_of_judging(home, base)
    kept = reserve(config.budget.time, config.budget.reserve, 0.0, judging)
    made = candidates.variants(config, config.train.candidates, store.incumbent(home) is not None)
    # Unmeasured, judging is what is kept for it; a candidate is asked a third of what the gate asks.
    costs = [candidates.cost(variant, 0.0, planned.training_seconds, (judging or kept) / 3) for variant in made]
    fit = candidates.fitting(costs, config.budget.time - kept)
    left = [variant.name for index, variant in enumerate(made) if index not in fit]
    return [{"name": "candidates", "value": len(fit), "reason": f"of {len(made)}, at {costs[0]:.0f} s for the first, before "
             f"{kept:.0f} s are kept for the gate" + (f"; left out: {', '.join(left)}" if left else "")}]
