"""What a CPU's C library does with freed memory: keep it, or give it back block by block.

torch asks for memory aligned to 64 bytes. glibc cuts such a block out of a larger one and cannot use it again for a request
of the same size while its neighbours are in use, so the heap grows with every layer of a large model until the step is over
(train/growth.py; 76 MiB a layer for 2,048 tokens of a 0.5B model). Blocks that have a mapping of their own go back at once,
exactly; what it costs is the kernel's clearing of every new page, less in huge pages: a step takes half as long again with six
layers of that model, nearly twice as long with all 24.
"""
from __future__ import annotations

import ctypes
import os
import platform

# From this size on a block gets a mapping of its own. With 1 MiB one row of 512 tokens took more than two: its hidden states
# are 0.9 MiB and stayed in the heap (0.5B: 163 MiB for 1 x 512, 79 with 256 KiB; 2 x 512 the same time with both).
OWN_MAPPING_BYTES = 2**18
_M_MMAP_THRESHOLD = -3                             # malloc.h of glibc
# Read at torch's first allocation, and at oneDNN's first product, of which it otherwise keeps the code for 1,024 sizes.
_BEFORE_TORCH = {"THP_MEM_ALLOC_ENABLE": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}


def libc() -> str:
    """"glibc", or what else is known of the C library; it may be nothing."""
    return platform.libc_ver()[0] or "an unknown libc"


def policy(device: str, kept_bytes: int, allowed_bytes: int, library: str) -> tuple[bool, str]:
    """(whether freed memory has to go back at once, why).

    device: "gpu" or "cpu". kept_bytes: peak of the process where the C library keeps what it likes.
    """
    if device != "cpu":
        return False, "a GPU's allocator hands freed blocks out again"
    need, room = (f"{size / 2**20:.0f} MiB" for size in (kept_bytes, allowed_bytes))
    if kept_bytes <= allowed_bytes:
        return False, f"kept by the C library, which is faster: {need} of {room}"
    if library != "glibc":
        return False, f"{need} where {room} are allowed, but {library} has no mallopt to change it with"
    return True, f"given back at once: kept, it would take {need} of {room}; a step takes up to twice as long"


def give_back_at_once() -> bool:
    """Every block from OWN_MAPPING_BYTES on gets its own mapping from now on; False where the C library cannot."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, value in _BEFORE_TORCH.items():
        os.environ.setdefault(name, value)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_BYTES) == 1
