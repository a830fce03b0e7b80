"""Whether the next forward fits what is left of the memory, asked before it is begun; on a CPU.

A limit that is met in the middle of a forward is mostly met inside oneDNN, and a thread in which oneDNN has once failed to
allocate fails at every later product, however small: halving the forward would come too late (LOG.md). What a step takes is
known by formula (train/anatomy.py), so nothing has to be met.
"""
from __future__ import annotations

from collections.abc import Callable

from edge_sleep.config import Lora, Train
from edge_sleep.device import allocator, memory
from edge_sleep.device.limit import FeltLimit
from edge_sleep.device.shortage import Foreseen, give_back
from edge_sleep.errors import DoesNotFit
from edge_sleep.model.base import Base
from edge_sleep.model.shape import Shape
from edge_sleep.train.anatomy import standing_bytes, step_bytes
from edge_sleep.train.growth import grown_bytes

MEBI = 2**20


def check_weights(shape: Shape, base: Base, lora: Lora) -> None:
    """Raise DoesNotFit where what stands all night is more than is left, before any of it is loaded."""
    stands = standing_bytes(shape, dtype=base.compute_dtype, rank=lora.rank, targets=lora.targets,
                            int8_embedding=base.int8_embedding)
    left = memory.available_bytes()
    if stands > left:
        raise DoesNotFit(f"the weights take {stands / MEBI:.0f} MiB, and {left / MEBI:.0f} are left of what the plan counted on",
                         "free memory, and run the night again: it goes on from here")


def of_a_step(shape: Shape, base: Base, lora: Lora, settings: Train) -> Callable[[int, int, bool], int]:
    """What Room asks: bytes that a step of tonight grows the process by, of (rows, tokens, whether freed memory goes back)."""
    def taken(rows: int, tokens: int, giving_back: bool) -> int:
        step = step_bytes(shape, dtype=base.compute_dtype, rank=lora.rank, targets=lora.targets, micro_batch=rows, tokens=tokens,
                          chunk=settings.loss_chunk, checkpointing=settings.checkpointing is not False,
                          int8_embedding=base.int8_embedding)
        return grown_bytes(shape, step, dtype=base.compute_dtype, tokens=rows * tokens, give_back=giving_back)

    return taken


class Room:
    """What forwards may take under a limit. Where they no longer may, freed memory goes back at once; then they must shrink."""

    def __init__(self, limit: FeltLimit, taken: Callable[[int, int, bool], int], giving_back: bool,
                 on_give_back: Callable[[str], None] = lambda reason: None):
        """taken(rows, tokens, giving_back): bytes that a step grows the process by, in forwards of so many rows of `tokens`.

        giving_back: freed memory goes back at once already (device/allocator.py). on_give_back(reason): it does from now on.
        """
        self.limit, self.taken, self.giving_back, self.on_give_back = limit, taken, giving_back, on_give_back
        self.standing = memory.anonymous_bytes()

    def check(self, rows: int, tokens: int) -> None:
        """Raise Foreseen where a forward of `rows` rows of `tokens` tokens would meet the limit."""
        if self.giving_back:
            self.limit.recount()
        ceiling = self.limit.refresh()
        if self._needs(rows, tokens) <= ceiling:
            return
        if not self.giving_back and allocator.give_back_at_once():
            reason = self._said(rows, tokens, ceiling)
            self.giving_back = True
            give_back()
            self.on_give_back(reason)
            ceiling = self.limit.refresh()
        if self._needs(rows, tokens) > ceiling:
            raise Foreseen(self._said(rows, tokens, ceiling))

    def _needs(self, rows: int, tokens: int) -> int:
        return self.standing + self.taken(rows, tokens, self.giving_back)

    def _said(self, rows: int, tokens: int, ceiling: int) -> str:
        return (f"foreseen: a forward of {rows} x {tokens} tokens would take this process to "
                f"{self._needs(rows, tokens) / MEBI:.0f} MiB, {ceiling / MEBI:.0f} are allowed now")
