"""A real run of workers beside the simulated one: the same arrivals, the same order of service, the same work.

The run is a document: {"engine", "servers", "zero": ISO time, "jobs": [{"job", "home", "worker", "arrived", "begun", "ended",
"due"}]}, in seconds since `zero`; as `python -m tests.thor.real_run` writes it from mailbox and ledgers.
"""
from __future__ import annotations

import math
from typing import Any

import numpy
from edge_sleep.benchmarks.cluster.demand import Jobs
from edge_sleep.benchmarks.cluster.loop import Cluster, simulate


def check(run: dict[str, Any]) -> dict[str, Any]:
    """Makespan and waits, real and simulated; printed.

    With each job's own duration the simulation can be wrong in who is served when, and in what lies between two jobs. With the
    run's mean for all, as a plan has one figure for all, what durations vary comes to it.
    """
    jobs = sorted(run["jobs"], key=lambda one: one["arrived"])
    between = gaps(jobs)
    own = numpy.asarray([one["ended"] - one["begun"] for one in jobs]) + between
    mean, looks = numpy.full(len(jobs), own.mean()), looked(jobs, run["servers"])
    real = _measures(jobs, numpy.asarray([one["begun"] for one in jobs]), max(one["ended"] for one in jobs))
    found: dict[str, Any] = {"benchmark": "fleet check", "engine": run["engine"], "servers": run["servers"], "jobs": len(jobs),
                             "between_jobs_seconds": round(between, 3), "looks_after_seconds": round(looks, 3), "real": real}
    print(f"{run['engine']}, {run['servers']} server(s), {len(jobs)} jobs; {between:.2f} s between two of them, "
          f"{looks:.2f} s until an idle one hears of a job\n"
          f"{'':28}{'makespan':>10}{'mean wait':>11}{'p95 wait':>10}   order")
    _say("real", real)
    for name, seconds in (("own durations", own), ("mean duration", mean)):
        course = simulate(_jobs(jobs, seconds), Cluster(run["servers"], edge_rate=math.inf, wide_rate=math.inf,
                                                        head_rate=math.inf, looks_after=looks))
        simulated = _measures(jobs, course.begun, float(course.ended.max()) - between)
        off = {key: simulated[key] / real[key] - 1 for key in real if real[key]}
        found[name.replace(" ", "_")] = {"simulated": simulated, "off": off, "in_order": in_order(jobs, course.begun)}
        _say(name, simulated, found[name.replace(" ", "_")]["in_order"])
        print(f"{'':28}{off['makespan']:>+10.1%}{off.get('wait_mean', 0.0):>+11.1%}{off.get('wait_p95', 0.0):>+10.1%}")
    return found


def gaps(jobs: list[dict]) -> float:
    """What lies on average between a job's end and the next begin on the same server, of jobs that had come by then."""
    found, last = [], {}
    for one in sorted(jobs, key=lambda one: one["begun"]):
        free = last.get(one["worker"], math.inf)
        if one["arrived"] <= free <= one["begun"]:
            found.append(one["begun"] - free)
        last[one["worker"]] = one["ended"]
    return float(numpy.mean(found)) if found else 0.0


def looked(jobs: list[dict], servers: int) -> float:
    """What usually lies between a job that comes while a server is idle and none waits, and the next begin of any."""
    begins, found, until = sorted(one["begun"] for one in jobs), [], -math.inf
    for one in jobs:
        busy = sum(other["begun"] <= one["arrived"] < other["ended"] for other in jobs)
        waiting = any(other["arrived"] < one["arrived"] < other["begun"] for other in jobs)
        if busy < servers and not waiting and one["arrived"] > until:
            until = next(at for at in begins if at >= one["arrived"])
            found.append(until - one["arrived"])
    return float(numpy.median(found)) if found else 0.0


def in_order(jobs: list[dict], begun: numpy.ndarray) -> float:
    """Share of all pairs of jobs that were begun in the same order (one of a pair that was begun at once counts)."""
    real = numpy.asarray([one["begun"] for one in jobs])
    upper = numpy.triu_indices(len(jobs), 1)
    same = numpy.sign(real[:, None] - real[None, :])[upper] * numpy.sign(begun[:, None] - begun[None, :])[upper]
    return float((same >= 0).mean()) if len(same) else 1.0


def _jobs(jobs: list[dict], seconds: numpy.ndarray) -> Jobs:
    homes = {home: number for number, home in enumerate(dict.fromkeys(one["home"] for one in jobs))}
    never, nothing = numpy.full(len(jobs), math.inf), numpy.zeros(len(jobs))
    due = numpy.asarray([math.inf if one["due"] is None else one["due"] for one in jobs])
    arrived = numpy.asarray([one["arrived"] for one in jobs])
    return Jobs(numpy.asarray([homes[one["home"]] for one in jobs]), arrived, due, never, seconds, nothing, nothing,
                numpy.zeros(len(jobs), dtype=int))


def _measures(jobs: list[dict], begun: numpy.ndarray, ended: float) -> dict[str, float]:
    arrived = numpy.asarray([one["arrived"] for one in jobs])
    waited = begun - arrived
    return {"makespan": ended - float(arrived.min()), "wait_mean": float(waited.mean()),
            "wait_p95": float(numpy.quantile(waited, 0.95))}


def _say(name: str, of: dict[str, float], same: float | None = None) -> None:
    tail = "" if same is None else f"   {same:.0%} of pairs as they were"
    print(f"{name:28}{of['makespan']:>9.1f}s{of['wait_mean']:>10.1f}s{of['wait_p95']:>9.1f}s{tail}")
