"""From tonight's examples to a candidate on disk: load, attach, train, stage."""
from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Config, Train
from edge_sleep.data.experience import Example
from edge_sleep.device.detect import Device
from edge_sleep.device.limit import felt
from edge_sleep.model import adapter
from edge_sleep.model import shape as shapes
from edge_sleep.model.base import Base
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import TEMPORARY, read_json, read_sealed, sha256_file, storage_errors, write_sealed
from edge_sleep.train import gradient, loop, scaling, state, team
from edge_sleep.train.attempt import Attempt
from edge_sleep.train.breaks import Breaks
from edge_sleep.train.budget import Contract
from edge_sleep.train.pace import Pace, unpaced
from edge_sleep.train.planner import Plan
from edge_sleep.train.ready import make_ready
from edge_sleep.train.room import Room, check_weights, of_a_step
from edge_sleep.train.team import Team
from edge_sleep.train.work import Work


class TrainingStop(str, Enum):
    FINISHED = "finished"            # the candidate is staged
    DEADLINE = "deadline"            # state saved
    INTERRUPTED = "interrupted"      # state saved
    HEAT = "heat"                    # or power; state saved


@dataclass
class TrainingResult:
    stop: TrainingStop
    reason: str
    train: dict
    measured: dict
    data: dict = field(default_factory=dict)


def train_candidate(base: Base, device: Device, config: Config, examples: list[Example], parent: Path | None,
                    folder: Path, plan: Plan, contract: Contract, clock: Clock, events: EventLog,
                    reserved: Callable[[float], float], interrupted: Callable[[], str | None],
                    held_out: Sequence[Example] = (), pace: Pace | None = None) -> TrainingResult:
    """Train on `examples`, continuing from `parent` (None: a fresh adapter) and from any state in `folder`.

    reserved(load_seconds) sets and returns the seconds kept for judging. interrupted() says why to give
    way, or None. held_out: never trained on; what train.patience watches. pace: what heat and power allow; None minds neither.
    On TrainingStop.FINISHED `folder`/candidate holds the adapter with its manifest. Raises Preempted while the base is loaded:
    there is nothing to save yet.
    """
    _settings(folder, config, plan)
    _watched(folder, config.train, held_out)
    work = Work(base, device, config, examples, parent, folder, plan)
    together = team.gather(device.kind == "gpu")
    together.decided(lambda: work)
    return _train(work, together, Breaks(contract, pace or unpaced(clock), interrupted), clock, events, reserved)


def share_training(work: Work, together: Team) -> None:
    """Take part in a training that process 0 announced: the same steps, each with this process's share of its examples."""
    clock = Clock()
    breaks = Breaks(Contract(clock, clock.monotonic(), 0.0, 0.0), unpaced(clock), lambda: None)
    _train(work, together, breaks, clock, EventLog(None, clock), lambda seconds: 0.0)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Denormal numbers are zero inside: B begins at zero, and its tiny products cost a CPU eight times a step.

    The flag is the thread's, not torch's: left on, it would change the caller's own arithmetic.
    """
    import torch

    was = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was)


def _train(work: Work, together: Team, breaks: Breaks, clock: Clock, events: EventLog,
           reserved: Callable[[float], float]) -> TrainingResult:
    import torch

    if work.config.train.threads:
        torch.set_num_threads(work.config.train.threads)
    with flushed_denormals():
        return _train_flushed(work, together, breaks, clock, events, reserved)


def _train_flushed(work: Work, together: Team, breaks: Breaks, clock: Clock, events: EventLog,
                   reserved: Callable[[float], float]) -> TrainingResult:
    import torch

    base, device, config = work.base, work.device, work.config
    parent, folder, plan = work.parent, work.folder, work.plan
    settings, micro_batch = _settings(folder, config, plan)
    shape = shapes.read(base.place.folder)
    if device.kind == "cpu":
        check_weights(shape, base, config.lora)
    # One process of several cannot leave the others waiting: together they give way at the first boundary.
    ready = make_ready(work, settings, replace(device, torch_name=together.device or device.torch_name),
                       _watched(folder, settings), breaks.give_way if together.size == 1 else lambda: None, events)
    model = ready.model
    before_tonight = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    saved = state.latest(folder)
    first_scale = scaling.first(base.compute_dtype)
    times: list[float] = []
    torch.manual_seed(settings.seed)
    kept = reserved(ready.load_seconds)

    def on_step(progress: state.Progress, steps: int, rate: float) -> None:
        attempt.at(progress.step, progress.micro_batch)
        times.append(progress.seconds - sum(times) - before)
        left = breaks.pace.work_left = (steps - progress.step) * statistics.median(times)
        events("step", step=progress.step, steps=steps, loss=round(progress.losses[-1], 4), learning_rate=rate,
               tokens_per_second=round(progress.tokens / max(progress.seconds, 1e-9), 1),
               remaining_seconds=round(left / breaks.pace.duty, 1))

    def on_shrink(progress: state.Progress, who: str) -> None:
        attempt.at(progress.step, progress.micro_batch)
        events("shrunk", step=progress.step, micro_batch=progress.micro_batch,
               reason=f"out of memory: {who}")

    def restore(parameters: dict, optimiser: Any) -> state.Progress:
        assert saved is not None
        progress = state.restore(saved, parameters, optimiser)
        progress.micro_batch = min(progress.micro_batch, size)
        return progress

    def on_rescale(progress: state.Progress) -> None:
        events("rescaled", step=progress.step, loss_scale=progress.scale, reason="a gradient did not fit float16")

    def on_held_out(progress: state.Progress) -> None:
        events("held_out", epochs=progress.epoch + 1 if progress.step else 0, loss=round(progress.held_out[-1], 4))

    before = read_json(saved / "progress.json", "training state")["seconds"] if saved else 0.0
    if saved:
        events("resume", state="restored", step=saved.name)
    begin = int(saved.name.removeprefix("step-")) if saved else 0
    with (Attempt(folder / _note_of(together), micro_batch, begin) as attempt,
          felt(device.kind, config.budget.memory_bytes) as limit):
        if attempt.reason:
            events("shrunk", micro_batch=attempt.size, reason=attempt.reason)

        size = together.decided(lambda: attempt.size)
        room = None if limit is None else Room(
            limit, of_a_step(shape, base, config.lora, settings), plan.give_back,
            on_give_back=lambda reason: events("freed_memory", value="given back", reason=reason))
        breaks.pace.begin(plan.training_seconds)
        training = loop.train(
            model, ready.tokenised, settings, pad=ready.pad, loss_of=ready.loss_of, may_step=breaks.may_step,
            boundary=breaks.boundary, rested=lambda: breaks.pace.rested, too_much=breaks.too_much,
            save=lambda parameters, optimiser, progress: state.save(folder, parameters, optimiser, progress),
            restore=restore if saved else None,
            on_step=on_step, on_shrink=on_shrink, on_rescale=on_rescale,
            on_held_out=on_held_out, held_out=ready.watched, monotonic=clock.monotonic, state_every=settings.state_every,
            packed=ready.packed, team=together, room=room, first_scale=first_scale, micro_batch=size,
            first_step_seconds=plan.training_seconds / max(1, loop.planned_steps(ready.tokenised, settings)))
    progress = training.progress
    if training.stop is not loop.Stop.PREEMPTED:
        breaks.pace.cool_down(lambda: breaks.interrupted() is not None)     # staging and judging cannot rest
    result = TrainingResult(
        TrainingStop.FINISHED, "",
        train={"steps": progress.step, "planned_steps": training.steps, "epochs": progress.epoch,
               "loss_first": progress.losses[0] if progress.losses else None,
               "loss_last": statistics.fmean(progress.losses[-max(1, training.steps // settings.epochs):])
               if progress.losses else None,
               "stop_reason": training.stop.value,
               "held_out": [round(loss, 4) for loss in progress.held_out] or None,
               "micro_batch": progress.micro_batch,
               "grad_accum_steps": -(-settings.examples_per_step // progress.micro_batch),
               "learning_rate": settings.learning_rate, "processes": together.size, "live": ready.live,
               "loss_scale": progress.scale if first_scale != 1.0 else None},
        measured={"load_seconds": round(ready.load_seconds, 3),
                  "step_seconds_p50": round(statistics.median(times), 4) if times else None,
                  "tokens_per_second": round(progress.tokens / progress.seconds, 1) if progress.seconds else None,
                  "peak_bytes": torch.cuda.max_memory_allocated() if device.kind == "gpu" else None},
        data={"tokens": progress.tokens, "supervised_tokens": progress.supervised_tokens, "too_long": ready.too_long})
    if training.stop is loop.Stop.DEADLINE:
        result.stop = TrainingStop.DEADLINE
        result.reason = (
            f"the budget of {breaks.contract.total_seconds:.0f} s is used: {progress.step} of {training.steps} steps are done, "
            f"{kept:.0f} s are kept for judging; run the night again to go on")
        if not times:
            expected = plan.training_seconds / max(1, training.steps)
            result.reason += (f" (loading took {ready.load_seconds:.0f} s and a step about {expected:.0f} s: "
                              "none fitted; give it a longer --budget)")
    elif training.stop is loop.Stop.PREEMPTED:
        result.stop = TrainingStop.INTERRUPTED
        result.reason = f"{breaks.why}; {progress.step} of {training.steps} steps are done and saved"
    elif training.stop is loop.Stop.HEAT:
        result.stop = TrainingStop.HEAT
        result.reason = f"{breaks.why}; {progress.step} of {training.steps} steps are done; run the night again to go on"
    elif together.leads:
        gradient.check_moved(before_tonight, {name: value for name, value in model.named_parameters() if value.requires_grad},
                             progress.step)
        _keep_part(model, before_tonight, settings.keep)
        _stage(model, folder, base, parent)
    return result


def _note_of(together: Team) -> str:
    """Where this process notes what it tries: each has its own memory to run out of."""
    return "training-attempt.json" if together.leads else f"training-attempt-{together.rank}.json"


def _settings(folder: Path, config: Config, plan: Plan) -> tuple[Train, int]:
    """(tonight's training settings, examples per forward); an interrupted night keeps them, whatever is free now."""
    file = folder / "training.json"
    if not file.is_file():
        write_sealed(file, asdict(plan.fit))
    fit = read_sealed(file, "training settings", "micro_batch")
    micro_batch = fit.pop("micro_batch")         # the order of data is made of the configured one
    return config.train.model_copy(update=fit), micro_batch


def _watched(folder: Path, settings: Train, held_out: Sequence[Example] = ()) -> list[Example]:
    """What train.patience watches; an interrupted night keeps it, whatever was held out since."""
    if not settings.patience:
        return []
    if not (folder / "held_out.jsonl").is_file():
        state.write_examples(folder, list(held_out), "held_out.jsonl")
    return state.read_examples(folder, "held_out.jsonl")


def _keep_part(model, before: dict, keep: float) -> None:
    """Weights between yesterday's and the trained ones: before + keep (trained - before).

    Interpolation in weight space gives up little of what was learned and wins back more of what was
    forgotten (WiSE-FT, Wortsman et al. 2022); our own measurement is in LOG.md.
    """
    import torch

    if keep == 1.0:
        return
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in before:
                value.copy_(torch.lerp(before[name], value, keep))


def _stage(model, folder: Path, base: Base, parent: Path | None) -> None:
    """Save the adapter as `folder`/candidate; its identity is its content."""
    staged = folder / f"{TEMPORARY}candidate"
    with storage_errors(folder):
        shutil.rmtree(staged, ignore_errors=True)
        adapter.save(model, staged, base.place.source)
        identity = adapter.content_id(staged, base.sha256)
        plan = read_sealed(folder / "plan.json", "plan")
        manifest.write(staged, adapter_id=identity, base=base.entry(), parent=parent.name if parent else None,
                       night=plan.get("night", folder.parent.name), created=Clock().stamp(),
                       data={"sha256": sha256_file(folder / "examples.jsonl"), "experiences": plan["experiences"]}, effect={})
        write_sealed(folder / "candidate.json", {"id": identity})
        final = folder / "candidate"
        if final.exists():
            shutil.rmtree(final)
        os.replace(staged, final)
