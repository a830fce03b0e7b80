"""Whether the next forward fits what is left of the memory, asked before it is begun; on a CPU.

A limit that is met in the middle of a forward is mostly met inside oneDNN, and a thread in which oneDNN has once failed to
allocate fails at every later product, however small: halving the forward would come too late (LOG.md). What a step takes is
known by formula (train/anatomy.py), so nothing has to be met.
"""
from __future__ import annotations

from collections.abc import Callable

from edge_sleep.device import allocator, memory
from edge_sleep.device.limit import FeltLimit
from edge_sleep.device.shortage import Foreseen, give_back

MEBI = 2**20


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
