"""Whether one training is shared by several GPUs of a machine: a pure decision, with the reason.

Every process holds the whole base and adapter, so sharing makes a training shorter and never smaller. It costs: the processes
start, a step's gradients are summed, and a forward below FULL_FORWARD tokens waits for launches instead of computing. GPUs that
other jobs wait for bring more apart: a job on each has nothing to sum.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from edge_sleep.config import Config
from edge_sleep.model.shape import Shape

START_SECONDS = 40.0                               # assumed: interpreters with torch, the base loaded by each, the meeting
LINK_BYTES_PER_SECOND = 8e9                        # assumed: PCIe 4 with eight lanes, as it is used; NVLink is faster
SUM_SECONDS = 2e-3                                 # assumed, of a step: the decisions it waits for, and the latency of the sum
LEAST_GAIN = 1.2                                   # times as fast, or it is not worth another machine's state to go wrong
LEAST_EFFICIENCY = 0.5                             # of GPUs that nobody else waits for


@dataclass(frozen=True)
class Sharing:
    processes: int
    seconds: float                                 # of the training
    reason: str


def exchange_seconds(shape: Shape, config: Config, processes: int, link: float = LINK_BYTES_PER_SECOND) -> float:
    """Of one step: a ring sums the adapter's float32 gradients, each byte out and in once."""
    if processes == 1:
        return 0.0
    gradients = 4 * shape.adapter_parameters(config.lora.rank, config.lora.targets)
    return 2 * (processes - 1) / processes * gradients / link + SUM_SECONDS


def share(shape: Shape, config: Config, *, gpus: int, examples: int, mean_tokens: float, alone_seconds: float, full_forward: int,
          available_seconds: float, others_wait: bool = False, link: float = LINK_BYTES_PER_SECOND) -> Sharing:
    """How many of `gpus` GPUs take part, the fewest that are about as good as more.

    examples: of an epoch. alone_seconds: the whole training on one. full_forward: tokens below which a forward takes as long as
    with them. available_seconds: until it must be done. others_wait: for the GPUs that this one would take.
    """
    settings = config.train
    step_examples = min(settings.examples_per_step, examples)
    steps = settings.epochs * math.ceil(examples / settings.examples_per_step) if examples else 0
    tokens = step_examples * mean_tokens
    alone = Sharing(1, alone_seconds, "")
    if gpus < 2:
        return Sharing(1, alone_seconds, "one GPU is here")
    if not steps or tokens < 2 * full_forward:
        return Sharing(1, alone_seconds, f"a step has {tokens:.0f} tokens: two GPUs would want {full_forward} each to be busy")

    def of(processes: int) -> Sharing:
        largest = math.ceil(step_examples / processes) * mean_tokens
        work = alone_seconds * max(largest, full_forward) / max(tokens, full_forward)
        return Sharing(processes, START_SECONDS + work + steps * exchange_seconds(shape, config, processes, link), "")

    ways = [of(processes) for processes in range(2, min(gpus, step_examples) + 1)]
    late = alone_seconds > available_seconds
    if others_wait:
        enough = next((way for way in ways if late and way.seconds <= available_seconds), None)
        if enough is None:
            why = "and sharing would not be in time either" if late else f"in time alone ({alone_seconds:.0f} s)"
            return Sharing(1, alone_seconds, f"other jobs wait for the GPUs, which bring more with a job each; {why}")
        return _said(enough, alone, f"{alone_seconds:.0f} s alone are more than the {available_seconds:.0f} there are")
    good = [way for way in ways if alone_seconds / way.seconds >= LEAST_GAIN
            and alone_seconds / (way.processes * way.seconds) >= LEAST_EFFICIENCY]
    if not good:
        best = min(ways, key=lambda way: way.seconds)
        sums = steps * exchange_seconds(shape, config, best.processes, link)
        return Sharing(1, alone_seconds, f"does not pay: {alone_seconds:.0f} s alone, {best.seconds:.0f} s by {best.processes}, "
                       f"of which {START_SECONDS:.0f} s to start and {sums:.0f} s to sum")
    shortest = min(way.seconds for way in good)
    return _said(next(way for way in good if way.seconds <= 1.05 * shortest), alone, "nobody else waits for them")


def as_configured(processes: int, device: str, gpus: int, alone_seconds: float) -> Sharing:
    """thor.processes, on as many GPUs as there are; processes on a CPU share its cores, which is for trying out."""
    if device == "gpu" and processes > gpus:
        return Sharing(gpus, alone_seconds, f"thor.processes is {processes}, and GPUs here are {gpus}")
    return Sharing(processes, alone_seconds, "as configured (thor.processes)")


def _said(way: Sharing, alone: Sharing, why: str) -> Sharing:
    return Sharing(way.processes, way.seconds,
                   f"{way.seconds:.0f} s by {way.processes} GPUs, {alone.seconds:.0f} s by one; {why}")
