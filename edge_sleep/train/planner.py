"""What tonight would need, before a byte is allocated: memory, time, micro-batch, each with its reason.

The bytes are those of `train/anatomy.py` and `train/growth.py`, and the host's. What does not fit is made to, the cheapest
way first: a smaller chunk of the loss head, recomputed activations, then half as many examples per forward, which keeps the
gradient. What fits as it was configured gets more examples per forward, up to the whole step, while forwards are too small to
be fast.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from edge_sleep.config import Config
from edge_sleep.device import allocator
from edge_sleep.model.head import LOSSES_AT_ONCE
from edge_sleep.model.shape import Shape
from edge_sleep.train.anatomy import ELEMENT, standing_bytes, step_bytes
from edge_sleep.train.growth import grown_bytes, kept_by_judging
from edge_sleep.train.several import as_configured, share

# torch, transformers, peft and bitsandbytes imported, measured RSS; a CUDA context comes to it.
HOST_BYTES = {"cpu": 500 * 2**20, "gpu": 700 * 2**20}
PLENTY = 0.6                                       # of the memory there is: what a step may take to be faster, not to fit
SMALLEST_CHUNK = 32                                # supervised tokens: below, reading the head costs more than it saves
# Tokens per forward from which more no longer pay. Below 1,024 a GPU waits for kernel launches (a roofline of AGX Orin and Thor).
# One x86 core, 57 tokens an example: seedling 2,597 tokens/s with 1, 3,890 with 8, 3,753 with 16; 0.5B 23 with 1, 31 with 4.
FULL_FORWARD = {"gpu": 1024, "cpu": 512}
# Sustained float32 matmul of one x86 core at these sizes, and the cost of one eager block: rough on
# purpose; from the second night on the home's own measurement takes their place.
_CORE_FLOPS = 4e10
_GPU_FLOPS = 5e12                                  # of a GPU without a profile: what a stock stack reached on an RTX 4060
_BLOCK_SECONDS = 0.01


@dataclass(frozen=True)
class Fit:
    """What training shrinks to fit; none of it changes the gradient."""

    loss_chunk: int
    checkpointing: bool
    micro_batch: int                   # examples per forward; the step's examples stay

    def smaller(self) -> Fit | None:
        """The next cheaper way, None where nothing is left."""
        if self.loss_chunk > SMALLEST_CHUNK:
            return replace(self, loss_chunk=max(SMALLEST_CHUNK, self.loss_chunk // 2))
        if not self.checkpointing:
            return replace(self, checkpointing=True)
        return replace(self, micro_batch=-(-self.micro_batch // 2)) if self.micro_batch > 1 else None

    def fuller(self, examples: int, forwards: int) -> Fit:
        """The same step of `examples` in `forwards` forwards, if these are larger than now."""
        return replace(self, micro_batch=max(self.micro_batch, -(-examples // forwards)))


@dataclass(frozen=True)
class Plan:
    where: str
    fit: Fit
    peak_bytes: int
    seconds: float
    training_seconds: float
    choices: list[dict] = field(default_factory=list)
    give_back: bool = False                        # device/allocator.py
    measured: bool = False                         # training_seconds rests on an earlier night of this home
    processes: int = 1                             # that share the training, on a GPU each (train/several.py)

    def as_json(self) -> dict:
        return {"where": self.where, "peak_bytes": self.peak_bytes, "seconds": round(self.seconds, 1),
                "choices": self.choices}


def peak_bytes(shape: Shape, config: Config, fit: Fit, *, device: str, dtype: str, tokens: int, give_back: bool = False,
               int8_embedding: bool = False) -> int:
    """Predicted peak of the process in bytes: host, weights, adapter and one step whose longest row has `tokens`.

    give_back: whether a CPU's C library is told to return what is freed. Where it is not, judging can be the larger part:
    it frees nothing between the layers of a forward.
    """
    rank, targets = config.lora.rank, config.lora.targets
    step = step_bytes(shape, dtype=dtype, rank=rank, targets=targets, micro_batch=fit.micro_batch, tokens=tokens,
                      chunk=fit.loss_chunk, checkpointing=fit.checkpointing, int8_embedding=int8_embedding)
    standing = HOST_BYTES[device] + standing_bytes(shape, dtype=dtype, rank=rank, targets=targets, int8_embedding=int8_embedding)
    if device != "cpu":
        return standing + step
    grown = grown_bytes(shape, step, dtype=dtype, tokens=fit.micro_batch * tokens, give_back=give_back)
    if give_back:
        return standing + grown
    return standing + max(grown, kept_by_judging(shape, dtype=dtype, tokens=min(fit.micro_batch, LOSSES_AT_ONCE) * tokens))


def fits_with_full_embedding(shape: Shape, config: Config, *, device: str, dtype: str, available_bytes: int,
                             libc: str = "glibc") -> bool:
    """Whether one example of the longest kind trains without an int8 embedding, at the least that a step can take."""
    allowed = min(available_bytes, config.budget.memory_bytes or available_bytes)
    least = Fit(SMALLEST_CHUNK, True, 1)
    return any(peak_bytes(shape, config, least, device=device, dtype=dtype, tokens=config.data.max_tokens,
                          give_back=give_back) <= allowed for give_back in (False, libc == "glibc" and device == "cpu"))


def step_flops(shape: Shape, tokens: float, checkpointing: bool) -> float:
    """Forward, backward of activations and (checkpointed) the forward again; the head forward and backward."""
    passes = 3 if checkpointing else 2
    return tokens * (2 * passes * shape.linear_parameters + 4 * shape.vocabulary * shape.hidden)


def plan(shape: Shape, config: Config, *, examples: int, mean_tokens: float, longest: int, device: str, dtype: str,
         available_bytes: int, cores: int, measured_tokens_per_second: float | None, libc: str = "glibc",
         flops_per_second: float | None = None, int8_embedding: bool = False, gpus: int | None = None,
         others_wait: bool = False) -> Plan:
    """Choose settings that fit, and say how long the night would take.

    device: "gpu" or "cpu". available_bytes: what the whole process may take, what it holds now included. where is "none"
    when not even one example at a time fits the memory. flops_per_second: what the board's profile says of its GPU.
    gpus: of this machine, each with a memory of its own, that may share the training; None where that is not this plan's to
    decide. others_wait: other jobs do, for these GPUs.
    """
    allowed = min(available_bytes, config.budget.memory_bytes or available_bytes)
    settings = config.train
    asked = fit = Fit(settings.loss_chunk, settings.checkpointing is not False, settings.micro_batch)

    kept = peak_bytes(shape, config, asked, device=device, dtype=dtype, tokens=longest, int8_embedding=int8_embedding)
    give_back, why_allocator = allocator.policy(device, kept, allowed, libc)

    def needed(fit: Fit) -> int:
        return peak_bytes(shape, config, fit, device=device, dtype=dtype, tokens=longest, give_back=give_back,
                          int8_embedding=int8_embedding)

    while needed(fit) > allowed and (less := fit.smaller()):
        fit = less
    enough = FULL_FORWARD[device]
    step = settings.examples_per_step
    full = asked.fuller(step, max(1, int(step * mean_tokens) // enough)) if mean_tokens else asked
    if fit == asked:
        fit = next(fuller for forwards in range(-(-step // full.micro_batch), step + 1)
                   if needed(fuller := asked.fuller(step, forwards)) <= allowed or fuller == asked)
    plenty = replace(fit, checkpointing=False)
    if settings.checkpointing == "auto" and needed(plenty) <= PLENTY * allowed:
        fit = plenty
    peak = needed(fit)
    room = f"{peak / 2**20:.0f} MiB of {allowed / 2**20:.0f} MiB"

    def why(name: str) -> str:
        if name == "micro_batch" and fit.micro_batch > asked.micro_batch:
            return (f"more than the {asked.micro_batch} configured: below {enough} tokens a forward on this {device} is mostly "
                    f"overhead; {fit.micro_batch * mean_tokens:.0f} tokens, {room}; same gradient")
        if name == "micro_batch" and asked.micro_batch == fit.micro_batch < full.micro_batch:
            return (f"as configured; {room}; {enough} tokens a forward would be faster on this {device}, "
                    f"but {full.micro_batch} examples need {needed(full) / 2**20:.0f} MiB")
        if name == "checkpointing" and settings.checkpointing == "auto":
            return (f"{needed(plenty) / 2**20:.0f} MiB without, of {allowed / 2**20:.0f} MiB: " + (
                f"over {PLENTY:.0%} of it, so activations are recomputed" if fit.checkpointing else
                "plenty, and a quarter of the products is saved; same gradient"))
        return (f"as configured; {room}" if getattr(fit, name) == getattr(asked, name) else
                f"smaller than configured, where {needed(asked) / 2**20:.0f} MiB were too many; {room}; same gradient")

    fits = peak <= allowed
    tokens = examples * mean_tokens * settings.epochs
    forwards = settings.epochs * math.ceil(examples / fit.micro_batch)
    if measured_tokens_per_second:
        training = tokens / measured_tokens_per_second
        why_time = f"{measured_tokens_per_second:.0f} tokens/s, measured on this home's last night"
    else:
        rate = _CORE_FLOPS * cores if device == "cpu" else flops_per_second or _GPU_FLOPS
        training = (step_flops(shape, tokens, fit.checkpointing) / rate
                    + (forwards * shape.layers * _BLOCK_SECONDS if device == "cpu" else 0))
        of_what = "its profile's" if device == "gpu" and flops_per_second else "a rough"
        why_time = f"the model's size at {of_what} {rate:.3g} FLOP/s; measured from the second night on"
    rest = config.budget.reserve * config.budget.time
    available_time = config.budget.time - rest
    sharing = None if gpus is None else (
        share(shape, config, gpus=gpus, examples=examples, mean_tokens=mean_tokens, alone_seconds=training,
              full_forward=enough, available_seconds=available_time, others_wait=others_wait)
        if config.thor.processes == "auto" else as_configured(config.thor.processes, device, gpus, training))
    if sharing is not None:
        training = sharing.seconds
    saved = shape.embedding_parameters * (ELEMENT[dtype] - 1)
    why_where = "fits" if fits else (f"one example at a time needs {peak / 2**20:.0f} MiB, "
                                     f"{allowed / 2**20:.0f} MiB are there")
    choices: list[dict] = [
        {"name": "where", "value": device if fits else "none", "reason": why_where},
        {"name": "micro_batch", "value": fit.micro_batch, "reason": why("micro_batch")},
        {"name": "grad_accum_steps", "value": math.ceil(settings.examples_per_step / fit.micro_batch),
         "reason": "keeps the examples per optimiser step"},
        {"name": "checkpointing", "value": fit.checkpointing, "reason": why("checkpointing")},
        {"name": "loss_chunk", "value": fit.loss_chunk, "reason": why("loss_chunk")},
        {"name": "embedding", "value": "int8" if int8_embedding else "full",
         "reason": f"int8 takes {saved / 2**20:.0f} MiB less; settled with the home's first night (companion.embedding)"},
        {"name": "freed_memory", "value": "given back" if give_back else "kept", "reason": why_allocator},
        {"name": "training_seconds", "value": round(training, 1), "reason": why_time},
        {"name": "time", "value": "fits" if training <= available_time else "goes on another night",
         "reason": f"{available_time:.0f} s of {config.budget.time:.0f} s are for training, "
                   f"{rest:.0f} s for loading, judging and saving"},
    ]
    if sharing is not None:
        choices.append({"name": "processes", "value": sharing.processes, "reason": sharing.reason})
    return Plan(device if fits else "none", fit, peak, training + rest, training, choices, give_back,
                bool(measured_tokens_per_second), 1 if sharing is None else sharing.processes)
