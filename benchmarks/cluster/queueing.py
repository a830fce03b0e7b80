"""Whose job is begun next: the order of thor/queue.py, kept in heaps so that a hundred thousand companions can be simulated.

`thor.queue.order` sorts all that wait, which a worker does every few seconds and a simulation at every job. A test holds both to
the same sequence.
"""
from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

from edge_sleep.benchmarks.cluster.demand import DAY

# (round of its companion, seconds until its morning, when the job arrived) -> what is compared; the least is begun first.
Order = Callable[[int, float, float], Any]


def fair_then_morning(round_: int, until_morning: float, arrived: float) -> Any:
    return round_, until_morning


def by_arrival(round_: int, until_morning: float, arrived: float) -> Any:
    return arrived


class Queue:
    """Waiting jobs, by number. Of each companion's jobs the first stands for it.

    window_seconds: after so long a job that was begun counts no more in its companion's rounds.
    """

    def __init__(self, order: Order, window_seconds: float):
        self.order, self.window = order, window_seconds
        self._lines: dict[int, list[tuple[bool, float, int, float]]] = {}    # companion -> heap of (not again, due, job, arrived)
        self._begun: dict[int, dict[int, float]] = {}                        # companion -> job -> when it was begun last
        self._fades: list[tuple[float, int, int]] = []                       # heap: when a begun job counts no more
        self._heap: list[tuple[Any, int, int, int, float]] = []              # heap: key, job, number of the entry, companion, due
        self._counts: dict[int, int] = {}                                    # companion -> the entry that counts
        self._number = 0

    def push(self, job: int, companion: int, due: float, arrived: float) -> None:
        """due: its morning; once that has passed, the next day's counts."""
        self._fade(arrived)
        again = job in self._begun.get(companion, ())
        heapq.heappush(self._lines.setdefault(companion, []), (not again, due, job, arrived))
        self._stand(companion, arrived)

    def pop(self, now: float) -> int | None:
        """The next job, which is begun; None where nothing waits."""
        self._fade(now)
        while self._heap:
            _, job, number, companion, due = heapq.heappop(self._heap)
            if self._counts.get(companion) != number:
                continue
            if due < now:                           # its morning has passed since it was put here
                self._stand(companion, now)
                continue
            heapq.heappop(self._lines[companion])
            self._begun.setdefault(companion, {})[job] = now
            heapq.heappush(self._fades, (now + self.window, companion, job))
            self._stand(companion, now)
            return job
        return None

    def _fade(self, now: float) -> None:
        while self._fades and self._fades[0][0] < now:
            _, companion, job = heapq.heappop(self._fades)
            begun = self._begun.get(companion, {})
            if job in begun and begun[job] + self.window < now:
                del begun[job]
                if not begun:
                    del self._begun[companion]
                if companion in self._lines:
                    self._stand(companion, now)

    def _stand(self, companion: int, now: float) -> None:
        line = self._lines.get(companion)
        if not line:
            self._lines.pop(companion, None)
            self._counts.pop(companion, None)
            return
        # A morning that has passed moves its job behind the companion's others, too.
        while line[0][1] < now:
            new, due, job, arrived = heapq.heappop(line)
            heapq.heappush(line, (new, due + DAY * math.ceil((now - due) / DAY), job, arrived))
        _, due, job, arrived = line[0]
        begun = self._begun.get(companion, {})
        waiting = {entry[2] for entry in line} if begun else set()
        self._number += 1
        self._counts[companion] = self._number
        key = self.order(sum(one not in waiting for one in begun), due, arrived)
        heapq.heappush(self._heap, (key, job, self._number, companion, due))
