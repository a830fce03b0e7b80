"""Whether freed memory goes back is decided by need, and where it is asked for it does."""
from __future__ import annotations

import subprocess
import sys

import pytest

from edge_sleep.device import allocator

MIB = 2**20


@pytest.mark.parametrize("device, kept, library, given_back, word", [
    ("cpu", 900, "glibc", False, "faster: 900 MiB of 1000 MiB"),
    ("cpu", 1100, "glibc", True, "given back at once: kept, it would take 1100 MiB of 1000 MiB"),
    ("cpu", 1100, "musl", False, "musl has no mallopt"),
    ("gpu", 9999, "glibc", False, "GPU")])
def test_the_policy(device, kept, library, given_back, word):
    chosen, reason = allocator.policy(device, kept * MIB, 1000 * MIB, library)
    assert chosen is given_back and word in reason


HOLES = """
import sys, torch
from edge_sleep.device import allocator, memory
if sys.argv[1] == "back":
    assert allocator.give_back_at_once()
block = torch.empty(30 << 20, dtype=torch.uint8)      # freeing it raises the size from which glibc maps by itself
del block
before = memory.anonymous_bytes()
kept = [torch.ones(2 << 20, dtype=torch.uint8) for _ in range(64)]
del kept[::2]
print((memory.anonymous_bytes() - before) >> 20)
"""


@pytest.mark.skipif(allocator.libc() != "glibc", reason="this C library is not glibc")
def test_freed_blocks_between_used_ones_go_back_where_that_is_asked():
    left = {way: int(subprocess.run([sys.executable, "-c", HOLES, way], capture_output=True, text=True, check=True).stdout)
            for way in ("kept", "back")}
    # 32 of 64 blocks of 2 MiB are in use. In the heap the holes stay, in mappings of their own they are gone.
    assert left["back"] <= 64 + 8 < 120 <= left["kept"]
