"""A memory limit that is felt as a failed allocation, which training and judging answer by doing less at once.

Past a cgroup's limit, or the machine's memory, no allocation fails: the kernel kills the process. RLIMIT_DATA makes the
allocation fail instead, a little before. It bounds writable private memory, the kind that cannot be given back under pressure.
"""
from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from edge_sleep.device import memory
from edge_sleep.device.shortage import give_back

# Page tables, the pages of libraries that are in use, and what Python allocates while a failure is handled.
MARGIN_BYTES = 64 * 2**20
# The ceiling that work keeps to by itself lies this far under the one where allocations fail (train/room.py).
SPARE_BYTES = 32 * 2**20


class FeltLimit:
    """The soft RLIMIT_DATA of this process, kept where the memory allowed ends."""

    def __init__(self, budget_bytes: int):
        """budget_bytes: most memory of the whole process, 0 for what the machine and its cgroups have."""
        self.budget_bytes = budget_bytes
        self.recount()

    def recount(self) -> None:
        """Count anew the mappings that were never touched, such as stacks: they are in the limit's count and take no memory.

        oneDNN adds to them with every new size of a product, for the code it writes. Not while the C library keeps what is
        freed: what it has given back inside its heap would be taken for untouched, and is touched again.
        """
        self.untouched = max(0, memory.data_bytes() - memory.anonymous_bytes())

    def refresh(self) -> int:
        """Set the limit for what is free now; returns the anonymous bytes to keep to, SPARE_BYTES less than it allows."""
        ceiling = memory.anonymous_bytes() + memory.available_bytes()
        if self.budget_bytes:
            ceiling = min(ceiling, self.budget_bytes - memory.shared_bytes())
        ceiling -= MARGIN_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        # Never under what is mapped already: then not even a smaller forward could be tried.
        wanted = max(ceiling + SPARE_BYTES + self.untouched, memory.data_bytes())
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        return ceiling


@contextmanager
def felt(device: str, budget_bytes: int) -> Iterator[FeltLimit | None]:
    """The limit while the block runs; None on a GPU, whose allocator says itself that memory is out."""
    if device != "cpu":
        yield None
        return
    give_back()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = FeltLimit(budget_bytes)
    limit.refresh()
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
