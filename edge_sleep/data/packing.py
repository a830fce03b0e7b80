"""Several short examples in one row, so that a batch is computed and not padded.

Nothing leaks between the examples of a row: their position ids restart, and attention is causal within each
of them. The models of transformers make that block-diagonal mask from the restarts (eager and sdpa, sliding
windows too; flash attention reads sequence lengths off them, of one row at a time); `train.objective` tries
it before a night relies on it.
"""
from __future__ import annotations

from collections.abc import Sequence

# Widest row, as a share of the longest example. Attention grows with the square of a row, padding shrinks little
# beyond twice: on the seedling's nights 10 % of a padded batch is padding, 2 % at twice, 1.9 % at four times.
STRETCH = 2.0


def rows(lengths: Sequence[int], stretch: float = STRETCH) -> list[list[int]]:
    """Which examples share a row: the layout of fewest computed tokens; the same lengths give the same rows.

    Rows are at most `stretch` times the longest example, and as many tokens at most as without packing.
    """
    if not lengths:
        return []
    longest = max(lengths)
    capacities = range(longest, int(max(1.0, stretch) * longest) + 1, max(1, longest // 16))
    return min((first_fit(lengths, capacity) for capacity in capacities),
               key=lambda filled: (len(filled) * width(filled, lengths), width(filled, lengths)))


def width(filled: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    """Tokens of the longest row."""
    return max(sum(lengths[index] for index in row) for row in filled)


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows of at most `capacity` tokens (at least the longest example), filled longest first."""
    filled: list[list[int]] = []
    used: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        place = next((place for place, taken in enumerate(used) if taken + lengths[index] <= capacity), None)
        if place is None:
            filled.append([index])
            used.append(lengths[index])
        else:
            filled[place].append(index)
            used[place] += lengths[index]
    return filled
