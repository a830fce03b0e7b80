"""Heat, power and time for people who already have a trainer: two callbacks for Hugging Face's Trainer and TRL's SFTTrainer.

    from edge_sleep.integrations.transformers import DeadlineCallback, GovernorCallback

    trainer = SFTTrainer(..., callbacks=[GovernorCallback(ceiling_celsius=80), DeadlineCallback("55m")])

The trainer stays as it is. Rests are made between its micro-batches; what stops it saves a checkpoint first, from which
`trainer.train(resume_from_checkpoint=True)` goes on.
"""
from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from edge_sleep.config import Power, Thermal, parse_duration
from edge_sleep.device import profile as profiles
from edge_sleep.device.machine import on_board
from edge_sleep.device.telemetry.choose import Source, choose
from edge_sleep.system.clock import Clock
from edge_sleep.train.budget import Contract
from edge_sleep.train.limits import check_seen, limits
from edge_sleep.train.pace import Pace, unpaced

log = logging.getLogger("edge_sleep")


def _stop(control: TrainerControl) -> None:
    control.should_training_stop = control.should_save = True


class GovernorCallback(TrainerCallback):
    """Keeps the board below its ceiling, and its power below a cap, by resting between micro-batches.

    `stopped` says why it ended the training, None where it did not; `measured` has seconds of rest, joules and the hottest
    moment. Logs carry `duty` and `celsius`.
    """

    def __init__(self, profile: str | Path | None = None, *, source: str = "auto", ceiling_celsius: float = 0.0,
                 release_celsius: float = 0.0, cap_watts: float = 0.0, energy_joules: float = 0.0,
                 longest_pause: str | float = "15m",
                 record: str | Path | None = None, clock: Clock | None = None, telemetry: Source | None = None):
        """profile: what is known of the board, by name or file; found out where it is left out. 0 takes its value, or none.

        source: as thermal.source. longest_pause: a pause longer than this ends the training. record: a file for the readings.
        telemetry: a source to read instead of this machine's. Raises UsageError, ConfigError for what contradicts itself.
        """
        thermal = Thermal(source=source, ceiling_celsius=ceiling_celsius, release_celsius=release_celsius,
                          longest_pause=parse_duration(float(longest_pause) if isinstance(longest_pause, int) else longest_pause))
        self.board, self.why_board = (profiles.load(profile), "named") if profile is not None else profiles.detect()
        self.limits, self.why_limits = limits(thermal, Power(cap_watts=cap_watts, energy_joules=energy_joules), self.board)
        self.asked, self.telemetry, self.record = source, telemetry, None if record is None else Path(record)
        self.clock = clock or Clock()
        self.pace: Pace = unpaced(self.clock)
        self.stopped: str | None = None

    @property
    def measured(self) -> dict[str, Any]:
        return self.pace.measured()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Choose what to read and begin to read it. Raises DeviceError where limits cannot be kept on this board."""
        source, why = (self.telemetry, "given") if self.telemetry is not None else choose(self.asked, self.board.power.total_rail)
        if source is None and self.asked != "none":
            why = check_seen(self.limits, why, on_board())
        log.info("governor: %s; limits: %s", why, self.why_limits)
        self.stopped = None
        self.pace = Pace(source, self.limits, self.clock, self._tell, self.record)
        self.pace.__enter__()
        self.pace.begin()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.pace.__exit__(None, None, None)

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._boundary(control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._boundary(control)

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._boundary(control)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None,
               **kwargs: Any) -> None:
        if logs is not None and self.pace.source is not None:
            logs["duty"] = round(self.pace.decision.duty, 3)
            logs["celsius"] = self.pace.max_celsius

    def _boundary(self, control: TrainerControl) -> None:
        if self.stopped is None and (halt := self.pace.rest()) is not None:
            self.stopped = f"{halt.cause.value}: {halt.reason}"
            log.warning("governor: the training ends: %s", self.stopped)
        if self.stopped is not None:
            _stop(control)

    @staticmethod
    def _tell(event: str, **facts: Any) -> None:
        log.info("governor: %s", ", ".join(f"{name} {value}" for name, value in facts.items()))


class DeadlineCallback(TrainerCallback):
    """Ends the training, with a checkpoint, before a step that would not be over in time. `stopped` says so."""

    def __init__(self, budget: str | float, *, reserve_seconds: float = 0.0, clock: Clock | None = None):
        """budget: wall clock from the beginning of the training, "55m" or seconds. reserve_seconds: of it, for saving."""
        self.seconds = parse_duration(float(budget) if isinstance(budget, int) else budget)
        self.reserve_seconds, self.clock = reserve_seconds, clock or Clock()
        self.stopped: str | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.contract = Contract(self.clock, self.clock.monotonic(), self.seconds, self.reserve_seconds)
        self.stopped, self._slowest = None, 0.0
        self._began = self.clock.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = self.clock.monotonic()
        # Rests for heat are part of it: the next step may need as long. A single slow one is forgotten by and by.
        self._slowest, self._began = max(now - self._began, 0.9 * self._slowest), now
        if state.global_step < state.max_steps and not self.contract.fits(self._slowest):
            self.stopped = f"the budget of {self.seconds:.0f} s is used at step {state.global_step} of {state.max_steps}"
            log.warning("deadline: %s", self.stopped)
            _stop(control)
