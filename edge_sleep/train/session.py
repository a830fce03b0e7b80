"""From tonight's examples to a candidate on disk: load, attach, train, stage."""
from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Config, Train
from edge_sleep.data.dataset import tokenise_all
from edge_sleep.data.experience import Example
from edge_sleep.device.detect import Device
from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.model import adapter
from edge_sleep.model.base import Base, context_length, load
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import TEMPORARY, read_json, sha256_file, storage_errors, write_json
from edge_sleep.train import loop, objective, state
from edge_sleep.train.budget import Contract
from edge_sleep.train.planner import Plan


class TrainingStop(str, Enum):
    FINISHED = "finished"            # the candidate is staged
    DEADLINE = "deadline"            # state saved
    INTERRUPTED = "interrupted"      # state saved


@dataclass
class TrainingResult:
    stop: TrainingStop
    reason: str
    train: dict
    measured: dict
    data: dict = field(default_factory=dict)


def train_candidate(base: Base, device: Device, config: Config, examples: list[Example], parent: Path | None,
                    folder: Path, plan: Plan, contract: Contract, clock: Clock, events: EventLog,
                    reserved: Callable[[float], float], interrupted: Callable[[], str | None]) -> TrainingResult:
    """Train on `examples`, continuing from `parent` (None: a fresh adapter) and from any state in `folder`.

    reserved(load_seconds) sets and returns the seconds kept for judging. interrupted() says why to give
    way, or None. On TrainingStop.FINISHED `folder`/candidate holds the adapter with its manifest.
    """
    import torch

    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    with flushed_denormals():
        return _train(base, device, config, examples, parent, folder, plan, contract, clock, events, reserved, interrupted)


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


def _train(base: Base, device: Device, config: Config, examples: list[Example], parent: Path | None,
           folder: Path, plan: Plan, contract: Contract, clock: Clock, events: EventLog,
           reserved: Callable[[float], float], interrupted: Callable[[], str | None]) -> TrainingResult:
    import torch

    settings, split = _settings(folder, config, plan)
    loaded = load(base, device)
    events("loaded", seconds=round(loaded.load_seconds, 2), how=loaded.how)
    objective.prepare_for_training(loaded.model, settings.checkpointing)
    if parent is None:
        model = adapter.attach_new(loaded.model, config.lora, settings.seed)
    else:
        model = adapter.attach_saved(loaded.model, parent, trainable=True)
    longest = min(config.data.max_tokens, context_length(loaded.model) or config.data.max_tokens)
    tokenised, too_long = tokenise_all(loaded.tokenizer, examples, config.companion.system_prompt, longest)
    if not tokenised:
        raise DoesNotFit(f"none of {len(examples)} examples fits into {longest} tokens",
                         "raise data.max_tokens, or use a model with a longer context")
    loss_of, why = objective.chunked_objective(model, settings.loss_chunk)
    packed, why_packed = objective.can_pack(model) if settings.packing else (False, "not packed: train.packing is off")
    events("objective", reason=f"{why}; {why_packed}", examples=len(tokenised), too_long=too_long)
    before_tonight = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    saved = state.latest(folder)
    times: list[float] = []
    why_stopped: list[str] = []
    torch.manual_seed(settings.seed)
    kept = reserved(loaded.load_seconds)

    def may_step(step_seconds: float) -> loop.Stop | None:
        if reason := interrupted():
            why_stopped.append(reason)
            return loop.Stop.PREEMPTED
        return None if contract.fits(step_seconds) else loop.Stop.DEADLINE

    def on_step(progress: state.Progress, steps: int, rate: float) -> None:
        times.append(progress.seconds - sum(times) - before)
        left = (steps - progress.step) * statistics.median(times)
        events("step", step=progress.step, steps=steps, loss=round(progress.losses[-1], 4), learning_rate=rate,
               tokens_per_second=round(progress.tokens / max(progress.seconds, 1e-9), 1),
               remaining_seconds=round(left, 1))

    def on_shrink(progress: state.Progress, who: str) -> None:
        events("shrunk", step=progress.step, micro_batch=-(-settings.micro_batch // progress.split),
               reason=f"out of memory: {who}")

    before = read_json(saved / "progress.json", "training state")["seconds"] if saved else 0.0
    if saved:
        events("resume", state="restored", step=saved.name)
    training = loop.train(
        model, tokenised, settings, pad=loaded.tokenizer.pad_token_id, loss_of=loss_of, may_step=may_step,
        save=lambda parameters, optimiser, progress: state.save(folder, parameters, optimiser, progress),
        restore=(lambda parameters, optimiser: state.restore(saved, parameters, optimiser)) if saved else None,
        on_step=on_step, on_shrink=on_shrink, monotonic=clock.monotonic, state_every=settings.state_every, packed=packed,
        split=split, first_step_seconds=plan.training_seconds / max(1, loop.planned_steps(tokenised, settings)))
    progress = training.progress
    result = TrainingResult(
        TrainingStop.FINISHED, "",
        train={"steps": progress.step, "planned_steps": training.steps, "epochs": progress.epoch,
               "loss_first": progress.losses[0] if progress.losses else None,
               "loss_last": statistics.fmean(progress.losses[-max(1, training.steps // settings.epochs):])
               if progress.losses else None,
               "stop_reason": training.stop.value,
               "micro_batch": -(-settings.micro_batch // progress.split),
               "grad_accum_steps": settings.grad_accum_steps * progress.split, "learning_rate": settings.learning_rate},
        measured={"load_seconds": round(loaded.load_seconds, 3),
                  "step_seconds_p50": round(statistics.median(times), 4) if times else None,
                  "tokens_per_second": round(progress.tokens / progress.seconds, 1) if progress.seconds else None,
                  "peak_bytes": torch.cuda.max_memory_allocated() if device.torch_name == "cuda" else None},
        data={"tokens": progress.tokens, "supervised_tokens": progress.supervised_tokens, "too_long": too_long})
    if training.stop is loop.Stop.DEADLINE:
        result.stop = TrainingStop.DEADLINE
        result.reason = (
            f"the budget of {contract.total_seconds:.0f} s is used: {progress.step} of {training.steps} steps are done, "
            f"{kept:.0f} s are kept for judging; run the night again to go on")
        if not times:
            expected = plan.training_seconds / max(1, training.steps)
            result.reason += (f" (loading took {loaded.load_seconds:.0f} s and a step about {expected:.0f} s: "
                              "none fitted; give it a longer --budget)")
    elif training.stop is loop.Stop.PREEMPTED:
        result.stop = TrainingStop.INTERRUPTED
        result.reason = f"{why_stopped[0]}; {progress.step} of {training.steps} steps are done and saved"
    else:
        _keep_part(model, before_tonight, settings.keep)
        _stage(model, folder, base, parent)
    return result


def _settings(folder: Path, config: Config, plan: Plan) -> tuple[Train, int]:
    """(tonight's training settings, parts of a micro-batch); an interrupted night keeps them, whatever is free now."""
    file = folder / "training.json"
    if not file.is_file():
        write_json(file, asdict(plan.fit))
    fit = read_json(file, "training settings")
    split = fit.pop("split", 1)
    return config.train.model_copy(update=fit), split


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
        if parent is not None and identity == parent.name:
            raise ModelError("training left every weight as it was: the adapter did not move")
        plan = read_json(folder / "plan.json", "plan")
        manifest.write(staged, adapter_id=identity, base=base.entry(), parent=parent.name if parent else None,
                       night=plan.get("night", folder.parent.name), created=Clock().stamp(),
                       data={"sha256": sha256_file(folder / "examples.jsonl"), "experiences": plan["experiences"]}, effect={})
        write_json(folder / "candidate.json", {"id": identity})
        final = folder / "candidate"
        if final.exists():
            shutil.rmtree(final)
        os.replace(staged, final)
