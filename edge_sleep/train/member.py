"""One of several processes that train one job (train/launch.py): the first trains as any night does, the others take part.

    python -m edge_sleep.train.member FOLDER
"""
from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.device import memory, profile
from edge_sleep.device.detect import Device
from edge_sleep.errors import EdgeSleepError
from edge_sleep.model.base import Base, BaseSource
from edge_sleep.system import children
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import read_json, write_json
from edge_sleep.train import state, team
from edge_sleep.train.budget import Contract
from edge_sleep.train.helper import take_part
from edge_sleep.train.launch import ASKED, EVENTS, LAUNCHER, RESULT, STOP, TEAM
from edge_sleep.train.limits import minded
from edge_sleep.train.pace import Pace
from edge_sleep.train.planner import Fit, Plan
from edge_sleep.train.session import TrainingResult, train_candidate


def main() -> None:
    children.end_with(int(os.environ[LAUNCHER]))
    folder = Path(sys.argv[1])
    asked = read_json(folder / TEAM / ASKED, "what a team of processes is asked")
    cuda = asked["device"]["kind"] == "gpu"
    if team.helps():
        take_part(cuda)
        _tell_peak(folder, cuda)
        return
    said: dict[str, Any]
    try:
        result = lead(folder, asked)
        said = {**asdict(result), "stop": result.stop.value}
    except EdgeSleepError as error:
        said = {"error": {"kind": type(error).__name__, "message": error.message, "do": error.do}}
    _tell_peak(folder, cuda)
    write_json(folder / TEAM / RESULT, said)
    if "error" in said:                            # most have ended by it too; torchrun ends those that wait for this one
        sys.exit(1)
    team.dismiss(cuda)


def _tell_peak(folder: Path, cuda: bool) -> None:
    import torch

    write_json(folder / TEAM / f"peak-{int(os.environ['RANK']):03d}.json", {
        "rss_peak_bytes": memory.rss_peak_bytes(), "gpu_peak_bytes": torch.cuda.max_memory_allocated() if cuda else None})


def lead(folder: Path, asked: dict[str, Any]) -> TrainingResult:
    """Process 0: the training that was asked for."""
    own, clock = folder / TEAM, Clock()
    config = Config.model_validate(asked["config"])
    place = BaseSource(asked["base"]["place"]["source"], Path(asked["base"]["place"]["folder"]))
    cache = asked["base"]["cache"]
    base = Base(**{**asked["base"], "place": place, "cache": None if cache is None else Path(cache)})
    plan = Plan(**{**asked["plan"], "fit": Fit(**asked["plan"]["fit"])})
    contract, events = Contract(clock, clock.monotonic(), asked["seconds"], 0.0), EventLog(own / EVENTS, clock)
    source, held, told = minded(config.thermal, config.power, profile.detect()[0])
    events("telemetry", **told)

    def interrupted() -> str | None:
        return (own / STOP).read_text() if (own / STOP).is_file() else None

    with Pace(source, held, clock, events, own / "telemetry.jsonl", contract.for_training) as pace:
        return train_candidate(base, Device(**asked["device"]), config, state.read_examples(folder),
                               None if asked["parent"] is None else Path(asked["parent"]), folder, plan, contract, clock, events,
                               lambda load_seconds: 0.0, interrupted, pace=pace)


if __name__ == "__main__":
    main()
