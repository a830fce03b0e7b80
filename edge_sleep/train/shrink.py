"""A micro-batch in parts: what a step does about memory that ran out (`device/shortage.py` recognises it)."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_sleep.device.shortage import give_back, out_of_memory

__all__ = ["give_back", "out_of_memory", "parts"]


def parts(batch: Sequence[int], split: int) -> Iterator[Sequence[int]]:
    """The batch in `split` parts of nearly equal length, in order, none empty."""
    size = -(-len(batch) // split)
    for start in range(0, len(batch), size):
        yield batch[start:start + size]
