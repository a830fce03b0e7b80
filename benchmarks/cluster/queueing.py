"""Which waiting job is begun next: the engine's order, kept in a heap so that a hundred thousand companions can be simulated."""
from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

# (the companion's jobs that are worked on now, when its morning comes, when the job arrived): the least is begun first.
Order = Callable[[int, float, float], Any]


def fair_then_morning(working: int, due: float, arrived: float) -> Any:
    """A companion's first job before anybody's second; among those, the earliest morning."""
    return working, due, arrived


def by_arrival(working: int, due: float, arrived: float) -> Any:
    return arrived


class Queue:
    """Waiting jobs in an order. Of each companion the job with the earliest key stands for it."""

    def __init__(self, order: Order):
        self.order = order
        self._waiting: dict[int, deque[tuple[int, float, float]]] = {}       # companion -> (job, due, arrived)
        self._working: dict[int, int] = {}
        self._heap: list[tuple[Any, int, int, int]] = []                      # key, number of the entry, companion, job
        self._entry: dict[int, int] = {}                                      # companion -> its entry that counts
        self._count = 0

    def push(self, job: int, companion: int, due: float, arrived: float) -> None:
        waiting = self._waiting.setdefault(companion, deque())
        waiting.append((job, due, arrived))
        if len(waiting) == 1:
            self._stand(companion)

    def pop(self) -> tuple[int, float] | None:
        """(job, when it is due), which is worked on from now on; None where nothing waits."""
        while self._heap:
            _, entry, companion, _ = heapq.heappop(self._heap)
            if self._entry.get(companion) != entry:
                continue
            job, due, _ = self._waiting[companion].popleft()
            self._working[companion] = self._working.get(companion, 0) + 1
            self._stand(companion)
            return job, due
        return None

    def done(self, companion: int) -> None:
        """One of its jobs is worked on no more."""
        left = self._working[companion] - 1
        if left:
            self._working[companion] = left
        else:
            del self._working[companion]
        self._stand(companion)

    def _stand(self, companion: int) -> None:
        waiting = self._waiting.get(companion)
        if not waiting:
            self._waiting.pop(companion, None)
            self._entry.pop(companion, None)
            return
        job, due, arrived = waiting[0]
        self._count += 1
        self._entry[companion] = self._count
        heapq.heappush(self._heap, (self.order(self._working.get(companion, 0), due, arrived), self._count, companion, job))
