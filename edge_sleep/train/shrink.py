"""Out of memory is an event: recognised whatever it is called, answered with half a micro-batch at a time.

On Tegra a full memory does not surface as OutOfMemoryError: NVML's query fails first, or NvMap reports error 12.
Both read as broken drivers, and have sent nights to the CPU.
"""
from __future__ import annotations

import errno
import gc
from collections.abc import Iterator, Sequence

_SIGNS = {
    "NVML_SUCCESS == r": "the Tegra allocator's NVML assert",
    "NvMapMemAlloc": "NvMap (error 12)",
    "NvMapMemHandleAlloc": "NvMap (error 12)",
    "CUBLAS_STATUS_ALLOC_FAILED": "cuBLAS",
    "out of memory": "the allocator",
    "can't allocate memory": "the CPU allocator",
    "Cannot allocate memory": "the system",
}


def out_of_memory(error: BaseException) -> str | None:
    """Who ran out of memory, or None where the error is something else."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return "the allocator"
    if isinstance(error, MemoryError):
        return "Python"
    if isinstance(error, OSError):
        return "the system" if error.errno == errno.ENOMEM else None
    if isinstance(error, RuntimeError):
        return next((who for sign, who in _SIGNS.items() if sign in str(error)), None)
    return None


def parts(batch: Sequence[int], split: int) -> Iterator[Sequence[int]]:
    """The batch in `split` parts of nearly equal length, in order, none empty."""
    size = -(-len(batch) // split)
    for start in range(0, len(batch), size):
        yield batch[start:start + size]


def give_back() -> None:
    """Return what the failed step held: its graph, and the blocks that the allocator keeps."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
