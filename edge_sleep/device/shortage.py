"""Out of memory, recognised whatever it is called, and what to give back before trying with less.

On Tegra a full memory does not surface as OutOfMemoryError: NVML's query fails first, or NvMap reports error 12.
Both read as broken drivers, and have sent nights to the CPU.
"""
from __future__ import annotations

import ctypes
import errno
import gc
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge_sleep.errors import DoesNotFit

_SIGNS = {
    "NVML_SUCCESS == r": "the Tegra allocator's NVML assert",
    "NvMapMemAlloc": "NvMap (error 12)",
    "NvMapMemHandleAlloc": "NvMap (error 12)",
    "CUBLAS_STATUS_ALLOC_FAILED": "cuBLAS",
    "out of memory": "the allocator",
    "can't allocate memory": "the CPU allocator",
    "Cannot allocate memory": "the system",
    "std::bad_alloc": "the C++ runtime",
    "could not create a primitive": "oneDNN",
    "could not create a memory": "oneDNN",
}


class Foreseen(MemoryError):
    """What was about to be tried would not have fitted; nothing was tried. The text says what and by how much."""


Item = TypeVar("Item")
Result = TypeVar("Result")


def out_of_memory(error: BaseException) -> str | None:
    """Who ran out of memory, or None where the error is something else."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return "the allocator"
    if isinstance(error, MemoryError):
        return str(error) if isinstance(error, Foreseen) else "Python"
    if isinstance(error, OSError):
        return "the system" if error.errno == errno.ENOMEM else None
    if isinstance(error, RuntimeError):
        return next((who for sign, who in _SIGNS.items() if sign in str(error)), None)
    return None


def give_back() -> None:
    """Return what was freed: graphs in cycles, the blocks that a GPU's allocator keeps, the heap that glibc keeps."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)      # glibc's own; musl has none and needs none
    if trim is not None:
        trim(0)


def let_go(error: BaseException) -> None:
    """Give back what the functions that `error` came through still hold: its traceback keeps models alive as long as it lives."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        traceback.clear_frames(at.__traceback__)
        at = at.__cause__ or at.__context__
    give_back()


class Portions:
    """How much is done at once: halved where memory runs out, and it stays so. The work's results do not depend on it."""

    def __init__(self, at_once: int, on_shrink: Callable[[int, str], None] = lambda at_once, who: None):
        """on_shrink(at_once, who): memory ran out, and the same items are tried again, so many at once."""
        self.at_once = at_once
        self.on_shrink = on_shrink

    def each(self, work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result]:
        """work(part) of every part of `items`, joined in order. Raises DoesNotFit where one item alone is too much."""
        done: list[Result] = []
        while len(done) < len(items):
            part = items[len(done):len(done) + self.at_once]
            try:
                done += work(part)
                continue
            except (RuntimeError, MemoryError, OSError) as error:
                who = out_of_memory(error)
                if who is None:
                    raise
            # Outside the handler: the error's traceback would keep what the failed work had allocated.
            give_back()
            if len(part) == 1:
                raise DoesNotFit(f"memory ran out ({who}) with one question at a time",
                                 "free memory, or lower data.max_tokens or gate.max_new_tokens")
            self.at_once = -(-len(part) // 2)
            self.on_shrink(self.at_once, who)
        return done
