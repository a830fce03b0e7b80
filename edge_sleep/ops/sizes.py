"""How much of an operation is done, or held, at a time. No torch here: the planner counts with the same numbers."""
from __future__ import annotations

# Columns of the vocabulary at a time, and rows of hidden states: 12 MiB of them in bfloat16 and float32. Measured on two x86
# cores, 256 and 512 rows: 1,024 to 8,192 columns within 5 %; with 64 rows reading the head costs as much as its products.
TILE = 4096
HEAD_ROWS = 512
# Queries at a time: at 512 keys and 14 heads the scores of a block are 2 MiB in bfloat16, and stay in the cache.
BLOCK = 128
# Of probabilities that may be kept from a recomputation to the backward pass that follows it: 4.4 MiB for 512 tokens of the
# 0.5B shape. Of longer rows they are made again.
KEPT_BYTES = 8 << 20
ROWS_BYTES = 4 << 20               # of float32 work at a time, between the matrix products


def blocks(length: int) -> list[tuple[int, int]]:
    """First and last (exclusive) of each block of queries."""
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def tiles(vocabulary: int) -> list[tuple[int, int]]:
    """First and last (exclusive) of each tile of the vocabulary."""
    return [(begin, min(begin + TILE, vocabulary)) for begin in range(0, vocabulary, TILE)]


def kept_bytes(batch: int, heads: int, length: int, element: int) -> int:
    """Of one block's attention, where its probabilities are kept; 0 where they are too many and made again."""
    pairs = sum((end - start) * end for start, end in blocks(length))
    whole = batch * heads * pairs * element
    return whole if whole <= KEPT_BYTES else 0
