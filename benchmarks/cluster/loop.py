"""A cluster's week, event by event: links, queue, bases, GPUs, failures. Pure: the same jobs, cluster and seed end the same.

A job is sent by its edge over the wide link into the queue; a free GPU takes the next one, fetches the base where its node has it
not yet, then the bundle, over the head's link; works; and the result goes back the same way. Links are first come, first served.
"""
from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from enum import IntEnum

import numpy
from edge_sleep.benchmarks.cluster.demand import Jobs
from edge_sleep.benchmarks.cluster.queueing import Order, Queue, fair_then_morning

MEGABIT = 1e6 / 8


@dataclass(frozen=True)
class Cluster:
    """Rates in bytes a second, times in seconds; zero bytes or an infinite rate take no time."""

    nodes: int
    gpus: int = 1                                   # of a node, a job on each
    edge_rate: float = 20 * MEGABIT                 # of a companion's own link, each way
    wide_rate: float = 1000 * MEGABIT               # of the cluster to the world, each way, for all
    head_rate: float = 10000 * MEGABIT              # of the head to all nodes, each way
    base_bytes: float = 0.0
    breaks_after: float = math.inf                  # mean time between two failures of a node
    repair: float = 1800.0
    fails: float = 0.0                              # share of attempts that end broken, at their end
    tries: int = 4                                  # attempts at one job, as thor/worker.py's
    window: float = 12 * 3600.0                     # thor/queue.py's: what was begun for a companion before that counts no more
    looks_after: float = 0.0                        # a GPU that is free hears of a job so late; one that becomes free, at once
    by_latest_start: bool = False                   # orders by when a job must be begun, and not by its morning


class End(IntEnum):
    """How a job ended; each does once."""

    DONE = 0                                        # the result was there before the morning
    LATE = 1                                        # it came behind it, and serves the next night
    WAITED = 2                                      # taken back while it waited
    BROKEN_OFF = 3                                  # taken back while it was worked on
    GIVEN_UP = 4                                    # broke as often as it may


@dataclass
class Course:
    """What became of each job (arrays as Jobs has them), and of the cluster."""

    end: numpy.ndarray
    arrived: numpy.ndarray                          # in the queue
    begun: numpy.ndarray                            # first; nan where it never was
    ended: numpy.ndarray
    worked: numpy.ndarray                           # GPU seconds of the attempt that was done; 0 otherwise
    lost: numpy.ndarray                             # GPU seconds of attempts that came to nothing
    fetching: numpy.ndarray                         # GPU seconds spent waiting for base and bundle, of all attempts
    attempts: numpy.ndarray
    busy: numpy.ndarray                             # (attempts, 2): from, to
    bytes: dict[str, float]
    bases_placed: int
    failures: int


def arrivals(jobs: Jobs, cluster: Cluster) -> numpy.ndarray:
    """When each bundle has come through its edge's link, then through the shared one."""
    there = jobs.shipped + jobs.bundle / cluster.edge_rate
    order = numpy.argsort(there, kind="stable")
    service = jobs.bundle[order] / cluster.wide_rate
    total = numpy.cumsum(service)
    arrived = numpy.empty(len(jobs))
    arrived[order] = numpy.maximum.accumulate(there[order] - (total - service)) + total
    return arrived


BROKEN, REPAIRED, FINISHES, LOOKS = 0, 1, 2, 3


def simulate(jobs: Jobs, cluster: Cluster, order: Order = fair_then_morning, seed: int = 0) -> Course:
    """Run until every job has ended."""
    chance = numpy.random.default_rng(seed)
    count, slots = len(jobs), cluster.nodes * cluster.gpus
    arrived = arrivals(jobs, cluster)
    end = numpy.full(count, -1, dtype=numpy.int8)
    begun, ended = numpy.full(count, math.nan), numpy.full(count, math.nan)
    worked, lost, fetching = numpy.zeros(count), numpy.zeros(count), numpy.zeros(count)
    attempts = numpy.zeros(count, dtype=numpy.int32)
    busy: list[tuple[float, float]] = []
    moved = {"edges_to_cluster": float(jobs.bundle.sum()), "head_to_nodes": 0.0, "bases": 0.0, "nodes_to_head": 0.0,
             "cluster_to_edges": 0.0}
    queue = Queue(order, cluster.window)
    # Plain lists: reading single numbers out of arrays takes three times as long.
    companion, due, until = jobs.companion.tolist(), jobs.due.tolist(), jobs.until.tolist()
    seconds, base = jobs.seconds.tolist(), jobs.base.tolist()
    bundle, result = jobs.bundle.tolist(), jobs.result.tolist()
    # With the links to itself: what a job needs at least from its beginning on until its result is at home.
    needs = (jobs.seconds + jobs.bundle / cluster.head_rate
             + jobs.result * (1 / cluster.head_rate + 1 / cluster.wide_rate + 1 / cluster.edge_rate))
    wanted = (jobs.due - needs if cluster.by_latest_start else jobs.due).tolist()
    coming = [(at, number) for number, at in enumerate(arrived.tolist())]
    coming.sort(reverse=True)
    has: list[dict[int, float]] = [{} for _ in range(cluster.nodes)]         # node -> base -> when it is there
    on: list[tuple[int, int, float, float] | None] = [None] * slots           # job, serial, work begins, work ends
    idle = _Idle(slots, cluster.gpus)
    out = back = wide = 0.0                                                  # when each link is free again
    heap: list[tuple[float, int, int, int, int]] = []                        # at, kind, slot or node, serial, job
    serial = failures = placed = 0
    looking = False
    left = count
    if math.isfinite(cluster.breaks_after):
        for node in range(cluster.nodes):
            heapq.heappush(heap, (float(chance.exponential(cluster.breaks_after)), BROKEN, node, 0, 0))

    def over(job: int, how: End, at: float) -> None:
        nonlocal left
        end[job], ended[job] = how, at
        left -= 1

    def begin(at: float) -> None:
        """Give free GPUs what waits."""
        nonlocal out, serial, placed
        while idle.any():
            job = queue.pop(at)
            if job is None:
                return
            if at >= until[job]:
                over(job, End.WAITED, until[job])
                continue
            slot = idle.take(base[job])
            node = slot // cluster.gpus
            there = has[node].get(base[job])
            if there is None:
                out = max(out, at) + cluster.base_bytes / cluster.head_rate
                there = has[node][base[job]] = out
                idle.knows(node, base[job])
                moved["bases"] += cluster.base_bytes
                placed += 1
            out = max(out, at) + bundle[job] / cluster.head_rate
            moved["head_to_nodes"] += bundle[job]
            works = max(out, there)
            stops = works + seconds[job]
            if begun[job] != begun[job]:
                begun[job] = at
            attempts[job] += 1
            serial += 1
            on[slot] = (job, serial, at, works)
            heapq.heappush(heap, (min(stops, until[job]), FINISHES, slot, serial, job))

    while left:
        if coming and (not heap or coming[-1][0] <= heap[0][0]):
            at, job = coming.pop()
            queue.push(job, companion[job], wanted[job], at)
            if not cluster.looks_after:
                begin(at)
            elif not looking and idle.any():
                looking = True
                heapq.heappush(heap, (at + cluster.looks_after, LOOKS, 0, 0, 0))
            continue
        if not heap:                                # every node is broken for good, or nothing can be begun
            break
        at, kind, which, number, job = heapq.heappop(heap)
        if kind == FINISHES:
            task = on[which]
            if task is None or task[1] != number:
                continue                            # its node broke meanwhile
            _, _, start, works = task
            on[which] = None
            busy.append((start, at))
            fetching[job] += min(works, at) - start
            if at < works + seconds[job] - 1e-6:
                lost[job] += max(0.0, at - works)
                over(job, End.BROKEN_OFF, at)
            elif cluster.fails and chance.random() < cluster.fails:
                lost[job] += seconds[job]
                if attempts[job] >= cluster.tries:
                    over(job, End.GIVEN_UP, at)
                else:
                    queue.push(job, companion[job], wanted[job], at)
            else:
                back = max(back, at) + result[job] / cluster.head_rate
                wide = max(wide, back) + result[job] / cluster.wide_rate
                home = wide + result[job] / cluster.edge_rate
                moved["nodes_to_head"] += result[job]
                moved["cluster_to_edges"] += result[job]
                worked[job] = seconds[job]
                over(job, End.DONE if home <= due[job] else End.LATE, home)
            idle.give(which, has[which // cluster.gpus])
        elif kind == BROKEN:
            failures += 1
            has[which].clear()
            for slot in range(which * cluster.gpus, (which + 1) * cluster.gpus):
                idle.withdraw(slot)
                task = on[slot]
                if task is None:
                    continue
                job, _, start, works = task
                on[slot] = None
                busy.append((start, at))
                fetching[job] += min(works, at) - start
                lost[job] += max(0.0, at - works)
                if attempts[job] >= cluster.tries:
                    over(job, End.GIVEN_UP, at)
                else:
                    queue.push(job, companion[job], wanted[job], at)
            heapq.heappush(heap, (at + cluster.repair, REPAIRED, which, 0, 0))
        elif kind == LOOKS:
            looking = False
        else:
            for slot in range(which * cluster.gpus, (which + 1) * cluster.gpus):
                idle.give(slot, has[which])
            heapq.heappush(heap, (at + float(chance.exponential(cluster.breaks_after)), BROKEN, which, 0, 0))
        begin(at)
    return Course(end, arrived, begun, ended, worked, lost, fetching, attempts,
                  numpy.asarray(busy, dtype=float).reshape(-1, 2), moved, placed, failures)


class _Idle:
    """Free GPUs, those of a node that has the base first, and among those the one that became free last."""

    def __init__(self, slots: int, gpus: int):
        self.gpus = gpus
        self._stamp = [1] * slots                   # odd: free
        self._any = [(slot, 1) for slot in reversed(range(slots))]
        self._with: dict[int, list[tuple[int, int]]] = {}
        self._free = slots

    def any(self) -> bool:
        return self._free > 0

    def take(self, base: int) -> int:
        for stack in (self._with.get(base, []), self._any):
            while stack:
                slot, stamp = stack.pop()
                if self._stamp[slot] == stamp:
                    self._stamp[slot] += 1
                    self._free -= 1
                    return slot
        raise LookupError("no GPU is free")

    def give(self, slot: int, has: dict[int, float]) -> None:
        self._stamp[slot] += 1
        self._free += 1
        self._any.append((slot, self._stamp[slot]))
        for base in has:
            self._with.setdefault(base, []).append((slot, self._stamp[slot]))

    def withdraw(self, slot: int) -> None:
        """A node broke: its GPUs are free no more."""
        if self._stamp[slot] % 2:
            self._stamp[slot] += 1
            self._free -= 1

    def knows(self, node: int, base: int) -> None:
        """The base has come to a node: its free GPUs are offered for it."""
        for slot in range(node * self.gpus, (node + 1) * self.gpus):
            if self._stamp[slot] % 2:
                self._with.setdefault(base, []).append((slot, self._stamp[slot]))
