"""The plan of a night for this home on this machine: the planner, fed with what is known here."""
from __future__ import annotations

import statistics
from collections.abc import Sequence

from edge_sleep.config import Config
from edge_sleep.data.experience import Example
from edge_sleep.device import allocator, environment, memory
from edge_sleep.device.detect import Device
from edge_sleep.device.profile import Profile
from edge_sleep.model import shape
from edge_sleep.model.base import INT8_EMBEDDING, BaseSource
from edge_sleep.system.files import read_object
from edge_sleep.system.home import Home
from edge_sleep.system.record import read_records
from edge_sleep.train.capacity import largest
from edge_sleep.train.planner import Plan, plan
from edge_sleep.train.team import on_this_machine

TEMPLATE_TOKENS = 40              # what a chat template and the system prompt add, about
CHARACTERS_PER_TOKEN = 4


def tokens(examples: Sequence[Example]) -> tuple[float, int]:
    """(mean, most) tokens of an example, guessed from characters: the plan is made before a tokenizer is loaded."""
    if not examples:
        return 0.0, 0
    guessed = [sum(len(message["content"]) for message in example.messages) / CHARACTERS_PER_TOKEN + TEMPLATE_TOKENS
               for example in examples]
    return statistics.fmean(guessed), round(max(guessed))


def forecast(home: Home, config: Config, place: BaseSource, device: Device, base_sha256: str | None,
             lesson: Sequence[Example], board: Profile, shared: bool = False) -> Plan:
    """Plan the lesson, with the speed that this home last measured on this base, or what is known of the board.

    shared: whether this process may have others started to share the training (train/launch.py).
    """
    speeds = [old["measured"]["tokens_per_second"] * worked_share(old) for old in read_records(home.nights)
              if (old["base"] or {}).get("sha256") == base_sha256 and old["measured"]["tokens_per_second"]
              and (old.get("plan") or {}).get("where") != "remote"]
    mean, most = tokens(lesson)
    sharing, gpus = on_this_machine() if device.kind == "cpu" else 1, None
    if shared:
        gpus = environment.gpus() if device.kind == "gpu" else 1
        if device.kind == "cpu" and config.thor.processes != "auto":
            sharing *= config.thor.processes
    form = read_object(home.base, "base record", "sha256").get("quantisation") if home.base.is_file() else None
    return plan(shape.read(place.folder), config, examples=sum(example.epoch in (None, 0) for example in lesson),
                mean_tokens=mean, longest=min(config.data.max_tokens, most or config.data.max_tokens),
                device=device.kind, dtype=device.compute_dtype, available_bytes=memory.for_this_process_bytes() // sharing,
                libc=allocator.libc(), int8_embedding=form == INT8_EMBEDDING, cores=environment.cores(),
                measured_tokens_per_second=speeds[-1] if speeds else None, flops_per_second=board.training_flops_per_second,
                gpus=gpus)


def worked_share(record: dict) -> float:
    """Share of a night's training that was work; the rest were rests for heat and power, which will come again."""
    rests = record["measured"].get("rests") or {}
    rested = sum(rests.get(cause, 0.0) for cause in ("heat", "power", "energy"))
    trained = sum(phase["seconds"] for phase in record["phases"] if phase["name"] == "train" and phase["seconds"])
    return max(0.1, 1 - rested / trained) if trained else 1.0


def largest_model(config: Config, board: Profile, device: Device) -> dict:
    """The choice `largest_model` for `board`."""
    return largest(config, board, device, available_bytes=memory.for_this_process_bytes(), cores=environment.cores(),
                   libc=allocator.libc())


def seconds_of_judging(home: Home, base: dict) -> float | None:
    """Median of what judging took in this home's earlier nights on this base; None before the first."""
    judged = [phase["seconds"] for old in read_records(home.nights) if (old["base"] or {}) == base
              for phase in old["phases"] if phase["name"] == "judge" and phase["outcome"] == "done"]
    return statistics.median(judged) if judged else None
