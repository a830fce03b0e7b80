"""What a machine does of a job that was sent to it and unpacked: checked, planned, trained as a night is (stages/learn.py).

The same for a worker's own machine and for a node of a cluster; who has the lease, and who hears of it, is above.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.data.experience import Example
from edge_sleep.device import detect, profile, shortage
from edge_sleep.errors import DoesNotFit, Preempted, TooHot
from edge_sleep.model import four_bit
from edge_sleep.model.base import Base, BaseSource
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import read_sealed, write_json, write_sealed
from edge_sleep.system.home import Home
from edge_sleep.thor import bundle, verify
from edge_sleep.thor.job import Job
from edge_sleep.train import forecast, planner
from edge_sleep.train import state as training_state
from edge_sleep.train.budget import Contract
from edge_sleep.train.launch import train_over
from edge_sleep.train.limits import minded
from edge_sleep.train.pace import Pace
from edge_sleep.train.team import several

RECEIVED, WORK = "received", "work"                # of a job's folder: what was sent, and a folder like a night's
_PAUSE_SECONDS = 600.0                             # until a job that stopped for heat is taken again


@dataclass
class Ended:
    """How a training ended. stopped: by what, None where the candidate is staged. pause_seconds: until the next try."""

    stopped: str | None = None
    pause_seconds: float = 0.0
    candidate: str | None = None
    train: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """For the job's record."""
        return {"candidate": self.candidate, "train": self.train, "measured": self.measured, "data": self.data}


def train(asked: Job, folder: Path, found: BaseSource, own: Config, cache: Path, clock: Clock, events: EventLog,
          interrupted: Callable[[], str | None]) -> Ended:
    """Check and train the job whose files lie in `folder`/received; state and candidate are in `folder`/work/state.

    found: the base, whose sha256 the caller compared. own: this machine's configuration. cache: for what can be made again from
    the base. interrupted() says why to give way, or None. Raises RemoteRefused (not to be trained), DoesNotFit (memory, time),
    ModelError.
    """
    from edge_sleep.train.session import TrainingStop, train_candidate

    verify.check_job(asked, folder / RECEIVED, found.folder)
    state, parent = bundle.lay_out(folder / RECEIVED, asked, folder / WORK)
    config = settings(asked, own)
    device = replace(detect.tried(asked.base.compute_dtype, heard=four_bit.heard)[0], compute_dtype=asked.base.compute_dtype)
    base = Base(BaseSource(asked.base.source, found.folder), asked.base.sha256, asked.base.compute_dtype, cache,
                asked.base.quantisation)
    lesson = training_state.read_examples(state)
    board = profile.detect()[0]
    plan = _plan(config, base, device, lesson, board, folder / WORK)
    events("plan", **plan.as_json())
    if plan.where == "none":
        raise DoesNotFit(f"too large for this machine: {plan.choices[0]['reason']}")
    if not (state / "training.json").is_file():
        write_sealed(state / "training.json", asdict(plan.fit) if asked.resume_step is None else asked.fit.model_dump())
    contract = Contract(clock, clock.monotonic(), asked.budget_seconds, 0.0)
    try:
        if plan.processes > 1:
            result = train_over(plan.processes, base, device, config, parent, state, plan, contract, events, interrupted)
        else:
            source, held, told = minded(config.thermal, config.power, board)
            events("telemetry", **told)
            with Pace(source, held, clock, events, folder / "telemetry.jsonl", contract.for_training) as pace:
                result = train_candidate(base, device, config, lesson, parent, state, plan, contract, clock, events,
                                         lambda load_seconds: 0.0, interrupted, pace=pace)
    except (Preempted, TooHot) as error:
        return Ended(error.message)
    finally:
        shortage.give_back()
    if result.stop is TrainingStop.DEADLINE:
        raise DoesNotFit(f"too slow: {result.reason}")
    ended = Ended(train=result.train, measured=result.measured, data=result.data)
    if result.stop is TrainingStop.FINISHED:
        ended.candidate = read_sealed(state / "candidate.json", "candidate")["id"]
        return ended
    return replace(ended, stopped=result.reason, pause_seconds=_PAUSE_SECONDS if result.stop is TrainingStop.HEAT else 0.0)


def settings(asked: Job, own: Config) -> Config:
    """What was asked, on this machine's threads, memory and disk."""
    wanted = asked.settings
    train = wanted.train.model_copy(update={"threads": own.train.threads, "state_every": own.train.state_every})
    return own.model_copy(update={
        "lora": wanted.lora, "train": train, "data": own.data.model_copy(update={"max_tokens": wanted.max_tokens}),
        "companion": own.companion.model_copy(update={"system_prompt": wanted.system_prompt})})


def _plan(config: Config, base: Base, device: detect.Device, lesson: list[Example], board: profile.Profile,
          work: Path) -> planner.Plan:
    """This machine's plan. The job's folder stands for a home that has this base and no night yet."""
    alone = Home(work)
    write_json(alone.base, {"quantisation": base.quantisation, "sha256": base.sha256})
    return forecast.forecast(alone, config, base.place, device, base.sha256, lesson, board, shared=not several())
