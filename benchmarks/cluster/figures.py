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


def summary(course: Course, jobs: Jobs, cluster: Cluster, companions: int, days: int) -> dict:
    count = max(1, len(jobs))
    slots = cluster.nodes * cluster.gpus
    waited = waits(course, jobs)
    taken = float((course.busy[:, 1] - course.busy[:, 0]).sum())
    ends = {end.name.lower(): int((course.end == end).sum()) for end in End}
    by_hour = hourly(course, slots)
    return {
        "companions": companions, "days": days, "jobs": len(jobs), "nodes": cluster.nodes, "gpus": slots, **ends,
        "missed_share": sum(ends[end.name.lower()] for end in MISSED) / count,
        "wait_p50_seconds": float(numpy.quantile(waited, 0.5)) if len(jobs) else 0.0,
        "wait_p95_seconds": float(numpy.quantile(waited, 0.95)) if len(jobs) else 0.0,
        "gpu_hours": taken / HOUR, "gpu_hours_worked": float(course.worked.sum()) / HOUR,
        "gpu_hours_lost": float(course.lost.sum()) / HOUR, "gpu_hours_fetching": float(course.fetching.sum()) / HOUR,
        "utilisation": taken / (slots * days * DAY), "utilisation_busiest_hour": float(by_hour.max()),
        "bytes": course.bytes, "bytes_per_companion_and_night": sum(course.bytes.values()) / (companions * days),
        "bases_placed": course.bases_placed, "node_failures": course.failures,
        "gpu_seconds_per_companion_and_night": taken / (companions * days),
        "gpu_seconds_held_per_companion_and_night": slots * DAY / companions}


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


def least(enough: Callable[[int], bool], start: int = 1, most: int = 1 << 20, stride: float = 2.0,
          within: float = 0.01) -> int | None:
    """The least number for which `enough` holds, which it does from some number on; None where it does for none up to `most`.

    start, stride: where it is looked for first, and by which factor on from there. within: a share of it, which a seed moves too.
    """
    low = high = min(start, most)
    if enough(start):
        while (low := int(low / stride)) and enough(low):
            high = low
    else:
        while not enough(high := min(most, math.ceil(high * stride))):
            if high >= most:
                return None
            low = high
    while high - low > max(1, int(low * within)):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
