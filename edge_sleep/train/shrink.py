"""Fewer examples per forward: what a step does about memory that ran out (`device/shortage.py` recognises it)."""
from __future__ import annotations

from collections.abc import Sequence


def forwards(step: Sequence[int], lengths: Sequence[int], micro_batch: int) -> list[list[int]]:
    """A step's examples in as few forwards of at most `micro_batch` as will do, all of nearly the same number.

    lengths: tokens of every example, by index. Near lengths share a forward, in the order of the step among equals: of a
    seedling's night in steps of 16 x 1, four to a forward, padding is 10 % of what is computed so (2.6 % in packed rows),
    in the order of the step 26 % (5.9 %). A pure function.
    """
    order = sorted(step, key=lambda index: lengths[index])
    size = -(-len(order) // -(-len(order) // micro_batch)) if order else 1
    return [order[start:start + size] for start in range(0, len(order), size)]
