"""What this device can do at most, as a bare operation of PyTorch reaches it: the product of a layer, the copy of memory."""
from __future__ import annotations

import time
from typing import Any

from edge_sleep.benchmarks.contenders import settled

from edge_sleep.model.shape import Shape

COPIED = 256 << 20                  # bytes: far above any cache of a CPU this runs on


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def product_flops(inputs: int, outputs: int, rows: int, dtype: str = "bfloat16", seconds: float = 1.0) -> float:
    """FLOP per second of the bare product [rows, inputs] x [inputs, outputs], forward and backward by turns."""
    import torch

    left, right = (torch.randn(size, device=_device()).to(getattr(torch, dtype)) for size in ((rows, inputs), (outputs, inputs)))
    given = torch.nn.functional.linear(left, right)
    settled()
    began, times = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        torch.nn.functional.linear(left, right)
        given @ right
        settled()
        times += 2
    return times * 2 * rows * inputs * outputs / (time.monotonic() - began)


def matmul_gflops(shape: Shape, rows: int, dtype: str = "bfloat16", seconds: float = 1.0) -> float:
    """GFLOP per second of the bare product of a model's largest layer on `rows` tokens."""
    return product_flops(shape.hidden, shape.intermediate, rows, dtype, seconds) / 1e9


def copy_bytes_per_second(seconds: float = 1.0, size: int = COPIED) -> float:
    """Bytes read and written per second by copying a block that no cache holds."""
    import torch

    source = torch.ones(size, dtype=torch.uint8, device=_device())
    target: Any = torch.zeros_like(source)
    settled()
    began, times = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        target.copy_(source)
        settled()
        times += 1
    return times * 2 * size / (time.monotonic() - began)
