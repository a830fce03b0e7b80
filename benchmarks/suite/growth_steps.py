"""What grows with the model and the lesson: tokens of a row, rows, rank, parameters, and the logits of a large vocabulary.

A step's seconds are those of the processor, all its threads: the least of the steps after the first. Peaks are the allocator's.
"""
from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks import contenders, peak, shapes
from edge_sleep.benchmarks.suite.points import Curves, Points, main

from edge_sleep.model.shape import Shape
from edge_sleep.seedling import MODEL

STEPS = 4
_LARGE = replace(shapes.TINY, vocabulary=151_936, context=4096)          # Qwen's words on the smallest model
_WIDTHS = {2: (64, 2), 4: (128, 2), 8: (192, 4), 16: (256, 6), 32: (384, 8)}


class Clocked(contenders.Gate):
    """Processor seconds of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.began = 0.0

    def enter(self, *_: Any) -> None:
        self.began = time.process_time()

    def leave(self, loss: float | None = None) -> None:
        self.seconds.append(time.process_time() - self.began)


def seconds(folder: Path, rows: int, tokens: int, **settings: Any) -> float:
    gate = Clocked()
    contenders.ours(str(folder), rows, tokens, {"dtype": "float32", "steps": STEPS, **settings}, gate)
    return min(gate.seconds[1:])


def sequence(sizes: Sequence[int]) -> Points:
    """One row of so many tokens, the seedling."""
    return [(float(size), seconds(MODEL, 1, size)) for size in sizes]


def rows(sizes: Sequence[int]) -> Points:
    """So many rows of 64 tokens, the seedling: seconds over tokens."""
    return [(size * 64.0, seconds(MODEL, size, 64)) for size in sizes]


def rank(sizes: Sequence[int]) -> Points:
    """An adapter of that rank on all linear layers, one row of 128 tokens, the seedling."""
    return [(float(size), seconds(MODEL, 1, 128, rank=size, targets="all-linear")) for size in sizes]


def parameters(sizes: Sequence[int]) -> Points:
    """Models of growing width and depth (_WIDTHS), one row of 128 tokens: seconds over linear parameters."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            hidden, layers = _WIDTHS[size]
            shape = Shape(hidden=hidden, layers=layers, heads=hidden // 32, kv_heads=1, head_size=32, intermediate=4 * hidden,
                          vocabulary=2048, tied=True, context=512)
            made = shapes.write(shape, Path(folder) / str(size))
            points.append((float(shape.linear_parameters), seconds(made, 1, 128)))
    return points


def _peaks(who: str, sizes: Sequence[int]) -> Points:
    points = []
    with tempfile.TemporaryDirectory() as folder:
        made = shapes.write(_LARGE, Path(folder) / "large")
        for size in sizes:
            points.append((float(size), peak.measure(str(made), who, 1, size, {"dtype": "float32"})["step_mebibytes"]))
    return points


def tiled_head(sizes: Sequence[int]) -> Points:
    """MiB that a step allocates, ours, with 151,936 words."""
    return _peaks("ours", sizes)


def dense_head(sizes: Sequence[int]) -> Points:
    """The same through full logits."""
    return _peaks("reference", sizes)


CURVES: Curves = {
    "sequence": (sequence, (64, 128, 256, 512)), "rows": (rows, (1, 2, 4, 8)), "rank": (rank, (2, 8, 32, 128)),
    "parameters": (parameters, (2, 4, 8, 16, 32)), "tiled_head": (tiled_head, (32, 128, 512)),
    "dense_head": (dense_head, (32, 128, 512))}


if __name__ == "__main__":
    main(CURVES, __doc__)
