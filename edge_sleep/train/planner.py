"""What tonight would need, before a byte is allocated: memory, time, micro-batch, each with its reason.

First form: a sum of the large parts (memory anatomy: weights, embedding, adapter with AdamW, activations
under checkpointing, one chunk of logits, the host). A later form is held against measurements.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge_sleep.config import Config
from edge_sleep.model.shape import Shape

NF4_BYTES = 0.5 + 8 / 64 / 8 + 4 / (64 * 256)      # 4 bits, one byte per 64 weights (double quant), its scale
HOST_BYTES = 600 * 2**20                           # torch, transformers and peft imported, measured RSS
_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Sustained float32 matmul of one x86 core at these sizes, and the cost of one eager block: rough on
# purpose; from the second night on the home's own measurement takes their place.
_CORE_FLOPS = 4e10
_BLOCK_SECONDS = 0.01


@dataclass(frozen=True)
class Plan:
    where: str
    micro_batch: int
    grad_accum_steps: int
    peak_bytes: int
    seconds: float
    training_seconds: float
    choices: list[dict] = field(default_factory=list)

    def as_json(self) -> dict:
        return {"where": self.where, "peak_bytes": self.peak_bytes, "seconds": round(self.seconds, 1),
                "choices": self.choices}


def peak_bytes(shape: Shape, *, dtype: str, rank: int, targets: str, micro_batch: int, tokens: int,
               chunk: int, checkpointing: bool) -> int:
    """Predicted peak of one training step in bytes, host included."""
    element = _DTYPE_BYTES[dtype]
    weights = shape.linear_parameters * NF4_BYTES + shape.embedding_parameters * element
    adapter = shape.adapter_parameters(rank, targets) * 16        # fp32 weight, gradient and two moments
    rows = micro_batch * tokens
    block = rows * element * (6 * shape.hidden + 4 * shape.intermediate + 3 * shape.heads * shape.head_size)
    activations = block + shape.layers * rows * shape.hidden * element if checkpointing else shape.layers * block
    logits = 2 * min(chunk, rows) * shape.vocabulary * 4
    dequantised = max(inputs * outputs for inputs, outputs in shape.linears.values()) * element
    return int(HOST_BYTES + weights + adapter + activations + logits + dequantised)


def step_flops(shape: Shape, tokens: float, checkpointing: bool) -> float:
    """Forward, backward of activations and (checkpointed) the forward again; the head forward and backward."""
    passes = 3 if checkpointing else 2
    return tokens * (2 * passes * shape.linear_parameters + 4 * shape.vocabulary * shape.hidden)


def plan(shape: Shape, config: Config, *, examples: int, mean_tokens: float, longest: int, device: str, dtype: str,
         available_bytes: int, cores: int, measured_tokens_per_second: float | None) -> Plan:
    """Choose the micro-batch that fits, and say how long the night would take.

    device: "gpu" or "cpu". where is "none" when not even one example at a time fits the memory.
    """
    allowed = min(available_bytes, config.budget.memory_bytes or available_bytes)
    settings = config.train
    micro_batch, accumulation = settings.micro_batch, settings.grad_accum_steps

    def needed(batch: int) -> int:
        return peak_bytes(shape, dtype=dtype, rank=config.lora.rank, targets=config.lora.targets, micro_batch=batch,
                          tokens=longest, chunk=settings.loss_chunk, checkpointing=settings.checkpointing)

    why = f"as configured; {needed(micro_batch) / 2**20:.0f} MiB of {allowed / 2**20:.0f} MiB"
    while needed(micro_batch) > allowed and micro_batch > 1:
        micro_batch, accumulation = math.ceil(micro_batch / 2), accumulation * 2
        why = f"halved until {needed(micro_batch) / 2**20:.0f} MiB fit into {allowed / 2**20:.0f} MiB; same gradient"
    peak = needed(micro_batch)
    fits = peak <= allowed
    tokens = examples * mean_tokens * settings.epochs
    steps = settings.epochs * math.ceil(examples / micro_batch)
    if measured_tokens_per_second:
        training = tokens / measured_tokens_per_second
        why_time = f"{measured_tokens_per_second:.0f} tokens/s, measured on this home's last night"
    else:
        rate = _CORE_FLOPS * cores if device == "cpu" else 5e12
        training = (step_flops(shape, tokens, settings.checkpointing) / rate
                    + (steps * shape.layers * _BLOCK_SECONDS if device == "cpu" else 0))
        why_time = "a rough figure from the model's size; measured from the second night on"
    rest = config.budget.reserve * config.budget.time
    available_time = config.budget.time - rest
    why_where = "fits" if fits else (f"one example at a time needs {peak / 2**20:.0f} MiB, "
                                     f"{allowed / 2**20:.0f} MiB are there")
    choices: list[dict] = [
        {"name": "where", "value": device if fits else "none", "reason": why_where},
        {"name": "micro_batch", "value": micro_batch, "reason": why},
        {"name": "grad_accum_steps", "value": accumulation, "reason": "keeps the examples per optimiser step"},
        {"name": "training_seconds", "value": round(training, 1), "reason": why_time},
        {"name": "time", "value": "fits" if training <= available_time else "goes on another night",
         "reason": f"{available_time:.0f} s of {config.budget.time:.0f} s are for training, "
                   f"{rest:.0f} s for loading, judging and saving"},
    ]
    return Plan(device if fits else "none", micro_batch, accumulation, peak, training + rest, training, choices)
