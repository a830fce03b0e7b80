"""What a simulated course comes to: nights missed, waits, bytes, GPU hours, cost of a companion; how many nodes are enough."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
from edge_sleep.benchmarks.cluster.demand import DAY, HOUR, Jobs
from edge_sleep.benchmarks.cluster.loop import Cluster, Course, End

MISSED = (End.LATE, End.WAITED, End.BROKEN_OFF, End.GIVEN_UP)


def waits(course: Course, jobs: Jobs) -> numpy.ndarray:
    """Seconds in the queue before a job was first begun; one that never was waited until it was taken back."""
    until = numpy.where(numpy.isnan(course.begun), numpy.maximum(course.ended, course.arrived), course.begun)
    return until - course.arrived


def hourly(course: Course, slots: int) -> numpy.ndarray:
    """Share of the GPUs that were taken, by hour."""
    if not len(course.busy):
        return numpy.zeros(1)
    hours = int(course.busy[:, 1].max() // HOUR) + 1
    edges = numpy.arange(hours + 1) * HOUR
    # Time taken up to each edge is a sum of clipped lines: intervals that began before it, less what of them lies behind it.
    starts, stops = numpy.sort(course.busy[:, 0]), numpy.sort(course.busy[:, 1])

    def before(times: numpy.ndarray) -> numpy.ndarray:
        summed = numpy.concatenate([[0.0], numpy.cumsum(times)])
        number = numpy.searchsorted(times, edges)
        return edges * number - summed[number]

    return numpy.diff(before(starts) - before(stops)) / (slots * HOUR)


def summary(course: Course, jobs: Jobs, cluster: Cluster, companions: int, days: int, first: float = 0.0) -> dict:
    """first: seconds; what is shipped within `days` from then on is counted. What came before and comes behind is load only."""
    counted = (jobs.shipped >= first) & (jobs.shipped < first + days * DAY) if first else numpy.ones(len(jobs), dtype=bool)
    count = max(1, int(counted.sum()))
    slots = cluster.nodes * cluster.gpus
    waited = waits(course, jobs)[counted]
    worked, lost, fetching = (float(part[counted].sum()) for part in (course.worked, course.lost, course.fetching))
    taken = worked + lost + fetching
    ends = {end.name.lower(): int((course.end[counted] == end).sum()) for end in End}
    back = counted & numpy.isin(course.end, (End.DONE, End.LATE))
    moved = {"edges_to_cluster": float(jobs.bundle[counted].sum()), "bases": course.bytes["bases"],
             "head_to_nodes": float((jobs.bundle * course.attempts)[counted].sum()),
             "nodes_to_head": float(jobs.result[back].sum()), "cluster_to_edges": float(jobs.result[back].sum())}
    by_hour = hourly(course, slots)
    within = by_hour[int(first / HOUR):int((first + days * DAY) / HOUR)] if first else by_hour
    return {
        "companions": companions, "days": days, "jobs": count, "nodes": cluster.nodes, "gpus": slots, **ends,
        "missed_share": sum(ends[end.name.lower()] for end in MISSED) / count,
        "wait_p50_seconds": float(numpy.quantile(waited, 0.5)) if len(waited) else 0.0,
        "wait_p95_seconds": float(numpy.quantile(waited, 0.95)) if len(waited) else 0.0,
        "gpu_hours": taken / HOUR, "gpu_hours_worked": worked / HOUR, "gpu_hours_lost": lost / HOUR,
        "gpu_hours_fetching": fetching / HOUR,
        "offered": float(jobs.seconds[counted].sum()) / (slots * days * DAY),
        "utilisation": float(within.sum()) / (24 * days), "utilisation_busiest_hour": float(by_hour.max()),
        "bytes": moved, "bytes_per_companion_and_night": sum(moved.values()) / (companions * days),
        "bases_placed": course.bases_placed, "node_failures": course.failures,
        "gpu_seconds_per_companion_and_night": taken / (companions * days),
        "gpu_seconds_held_per_companion_and_night": slots * DAY / companions}


def enough(figures: dict, missed: float) -> bool:
    """A cluster that is offered more than it can do falls behind, though a few days may hide it."""
    return figures["missed_share"] <= missed and figures["offered"] <= 1.0


@dataclass(frozen=True)
class Prices:
    """Whoever asks knows them; None leaves that part of the formula out. watts: of one GPU's machine at work, and idle."""

    watts: float
    idle_watts: float = 0.0
    gpu_hour: float | None = None                   # rented by the second that is used
    kwh: float | None = None                        # owned: energy
    node: float | None = None                       # owned: one node, over its life
    node_years: float = 4.0


def cost(figures: dict, prices: Prices) -> dict:
    """Of one companion and night. Money is in the unit in which the prices were given."""
    used, held = figures["gpu_seconds_per_companion_and_night"], figures["gpu_seconds_held_per_companion_and_night"]
    watt_hours = (prices.watts * used + prices.idle_watts * max(0.0, held - used)) / 3600
    found = {"gpu_seconds": used, "gpu_seconds_held": held, "watt_hours": watt_hours}
    if prices.gpu_hour is not None:
        found["rented"] = prices.gpu_hour * used / 3600
    if prices.kwh is not None:
        found["energy"] = prices.kwh * watt_hours / 1000
    if prices.node is not None:
        found["machines"] = prices.node * figures["nodes"] / figures["companions"] / (prices.node_years * 365.25)
    return found


def least(holds: Callable[[int], bool], start: int = 1, most: int = 1 << 20, stride: float = 2.0,
          within: float = 0.01) -> int | None:
    """The least number where it holds, which it does from some number on; None where it does for none up to `most`.

    start, stride: where it is looked for first, and by which factor on from there. within: a share of it, which a seed moves too.
    """
    low = high = min(start, most)
    if holds(start):
        while (low := int(low / stride)) and holds(low):
            high = low
    else:
        while not holds(high := min(most, math.ceil(high * stride))):
            if high >= most:
                return None
            low = high
    while high - low > max(1, int(low * within)):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
