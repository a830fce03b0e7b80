"""The loss on conversations that are never trained on: what tells learning from memorising while it happens."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.device.shortage import give_back, out_of_memory
from edge_sleep.errors import DoesNotFit
from edge_sleep.train.shrink import forwards


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` of the losses brought nothing lower than all before them."""
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def mean_loss(model: Any, examples: Sequence[TokenisedExample], *, pad: int, packed: bool,
              loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int) -> float:
    """Mean negative log-likelihood in nats per supervised token of `examples`, each token of weight 1.

    Raises DoesNotFit where memory runs out with one example at a time.
    """
    while True:
        try:
            return _mean_loss(model, examples, pad, packed, loss_of, device, micro_batch)
        except (RuntimeError, MemoryError, OSError) as error:
            who = out_of_memory(error)
            if who is None:
                raise
        give_back()
        if micro_batch == 1:
            raise DoesNotFit(f"memory ran out ({who}) on one held-out example at a time",
                             "lower data.max_tokens, or `--set train.patience=0`")
        micro_batch = -(-micro_batch // 2)


def _mean_loss(model: Any, examples: Sequence[TokenisedExample], pad: int, packed: bool,
               loss_of: Callable[[Any, dict, float], Any], device: Any, micro_batch: int) -> float:
    import torch

    supervised = sum(example.supervised for example in examples)
    total = 0.0
    with torch.no_grad(), without_dropout(model):
        for indices in forwards(range(len(examples)), [len(example.ids) for example in examples], micro_batch):
            batch = collate([replace(examples[index], weight=1.0) for index in indices], pad, packed)
            total += loss_of(model, {name: value.to(device) for name, value in batch.items()}, supervised).item()
    return total


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """No dropout inside, though the model stays in training mode: bitsandbytes repacks its weights in evaluation mode.

    The random state is not touched: a dropout of probability 0 draws nothing.
    """
    import torch

    was: list[tuple[Any, str, float]] = []
    for module in model.modules():
        name = "p" if isinstance(module, torch.nn.Dropout) else "attention_dropout"
        if isinstance(getattr(module, name, None), float):
            was.append((module, name, getattr(module, name)))
            setattr(module, name, 0.0)
    try:
        yield
    finally:
        for module, name, value in was:
            setattr(module, name, value)
