"""The largest model that a board can train within the hour, in memory and in time, on a nominal lesson."""
from __future__ import annotations

from dataclasses import dataclass

from edge_sleep.config import Budget, Config
from edge_sleep.device.detect import Device
from edge_sleep.device.profile import Profile
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.train.planner import Plan, plan


@dataclass(frozen=True)
class Lesson:
    examples: int
    tokens: int                        # of each
    epochs: int


SYSTEM_BYTES = 2**30                   # of a board's memory: Linux and its services without a desktop, an assumption
NOMINAL = Lesson(examples=200, tokens=256, epochs=3)


def largest(config: Config, board: Profile, device: Device, *, available_bytes: int, cores: int, libc: str) -> dict:
    """A choice of `edge-sleep plan`: the name of the largest known model whose nominal night fits `board`, or none.

    board: its memory and speed where the profile has them, in which case its system keeps SYSTEM_BYTES; else this machine's
    `available_bytes` and `device`. The adapter is the configured one, the time a night's default budget; embedding and head
    are in int8 where full ones do not fit (companion.embedding).
    """
    there = board.memory_bytes - SYSTEM_BYTES if board.memory_bytes else available_bytes
    kind = "gpu" if board.gpu_architecture else device.kind
    settings = config.model_copy(update={"train": config.train.model_copy(update={"epochs": NOMINAL.epochs}),
                                         "budget": Budget(memory_bytes=config.budget.memory_bytes)})

    def night(name: str) -> Plan:
        forms = {"full": (False,), "int8": (True,), "auto": (False, True)}[config.companion.embedding]
        plans = [plan(KNOWN[name], settings, examples=NOMINAL.examples, mean_tokens=NOMINAL.tokens, longest=NOMINAL.tokens,
                      device=kind, dtype=_dtype(board, device), available_bytes=there, cores=cores, libc=libc,
                      measured_tokens_per_second=None, flops_per_second=board.training_flops_per_second,
                      int8_embedding=int8) for int8 in forms]
        return next((one for one in plans if one.where != "none"), plans[-1])

    found, beyond = None, None
    for name in KNOWN:                 # smallest first; a larger one needs more of both
        if not _within(night(name), settings):
            beyond = name
            break
        found = name
    lesson = f"{NOMINAL.examples} examples of {NOMINAL.tokens} tokens, {NOMINAL.epochs} epochs"
    said = [_needs(name, night(name)) for name in (found, beyond) if name is not None]
    source = f"{board.name}'s without its system" if board.memory_bytes else "available"
    return {"name": "largest_model", "value": found or "none",
            "reason": f"{lesson}: {'; '.join(said)}; {there / 2**20:.0f} MiB are {source}, "
                      f"{_for_training(settings):.0f} s are for training"}


def _dtype(board: Profile, device: Device) -> str:
    """What the board computes in: bfloat16 from sm_80 on."""
    if board.gpu_architecture is None:
        return device.compute_dtype
    return "bfloat16" if int(board.gpu_architecture.removeprefix("sm_")) >= 80 else "float16"


def _for_training(config: Config) -> float:
    return config.budget.time * (1 - config.budget.reserve)


def _within(night: Plan, config: Config) -> bool:
    return night.where != "none" and night.training_seconds <= _for_training(config)


def _needs(name: str, night: Plan) -> str:
    return f"{name} takes {night.peak_bytes / 2**20:.0f} MiB and {night.training_seconds:.0f} s"
