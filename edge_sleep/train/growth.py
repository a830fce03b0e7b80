"""What a CPU's process grows by in a training step, beside what the step allocates: its C library's share.

torch asks for aligned memory, and glibc cannot use such a block again while its neighbours are in use (device/allocator.py):
kept, the heap grows with every layer by its largest tensors, in the steps until nothing new is asked for. Given back, the heap
holds small blocks only. Bounds of what was measured on the 0.5B shape, 6 and 24 layers, 256 to 2,048 tokens a forward,
bfloat16 and float32 (benchmarks/growth.py, tests/train/test_growth.py).
"""
from __future__ import annotations

from edge_sleep.model.shape import Shape
from edge_sleep.train.anatomy import ELEMENT

MEBI = 2**20
# Of a process whose large blocks go back: what small ones hold, and the code that oneDNN writes for each new size of a product.
# Measured 10 to 35 with rows of one length, 125 with a dozen lengths.
_SMALL_BLOCKS = 128 * MEBI
_HEAP = 128 * MEBI                     # of one whose heap is kept, whatever the layers: measured up to 170 with a step's own


def kept_by_a_layer(shape: Shape, *, dtype: str, tokens: int) -> int:
    """What one layer's forward leaves in the heap: four feed-forward tensors of `tokens` tokens."""
    return 4 * tokens * shape.intermediate * ELEMENT[dtype]


def kept_by_judging(shape: Shape, *, dtype: str, tokens: int) -> int:
    """What glibc's heap grows by in one forward over `tokens` tokens, nothing of which is freed between the layers.

    Measured: 76 MiB a layer for 2,048 tokens of the 0.5B shape in bfloat16 (device/allocator.py says why).
    """
    return shape.layers * kept_by_a_layer(shape, dtype=dtype, tokens=tokens)


def grown_bytes(shape: Shape, step: int, *, dtype: str, tokens: int, give_back: bool) -> int:
    """What the process grows by in steps that allocate `step` bytes, in forwards over `tokens` tokens.

    Every layer leaves its weights in the heap, made readable, or its feed-forward tensors, whichever is more.
    """
    if give_back:
        return step + _SMALL_BLOCKS
    readable = shape.linear_parameters // shape.layers * ELEMENT[dtype]
    a_layer = max(readable, kept_by_a_layer(shape, dtype=dtype, tokens=tokens))
    return step + shape.layers * a_layer + min(_HEAP, 4 * step)
