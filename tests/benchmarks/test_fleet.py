"""The simulated cluster: what goes in comes out, queues behave as their formulas say, and one seed is one course."""
from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy
import pytest
from edge_sleep.benchmarks.cluster import figures, trace
from edge_sleep.benchmarks.cluster.demand import DAY, Fleet, Jobs, draw
from edge_sleep.benchmarks.cluster.loop import Cluster, End, simulate
from edge_sleep.benchmarks.cluster.queueing import Queue, by_arrival, fair_then_morning
from hypothesis import given, settings
from hypothesis import strategies as some

from edge_sleep.thor.queue import Begun, Waiting, order

FREE = {"edge_rate": math.inf, "wide_rate": math.inf, "head_rate": math.inf}
LOAD = {"seconds": 150.0, "words_bytes": 2.5e5, "adapter_bytes": 3.5e7}


def jobs_of(shipped, seconds, due=None, companion=None, size=0.0, base=None, until=None) -> Jobs:
    count = len(shipped)
    never = numpy.full(count, math.inf)
    return Jobs(numpy.arange(count) if companion is None else numpy.asarray(companion), numpy.asarray(shipped, dtype=float),
                never if due is None else numpy.asarray(due, dtype=float), never if until is None else numpy.asarray(until, dtype=float),
                numpy.broadcast_to(numpy.asarray(seconds, dtype=float), count), numpy.full(count, size), numpy.full(count, size),
                numpy.zeros(count, dtype=int) if base is None else numpy.asarray(base))


def poisson(count: int, rate: float, seed: int) -> numpy.ndarray:
    return numpy.cumsum(numpy.random.default_rng(seed).exponential(1 / rate, count))


# --- queues that have a formula --------------------------------------------------------------------


def erlang_c(servers: int, load: float) -> float:
    """The chance to have to wait with `servers` and so many erlangs."""
    below = sum(load ** n / math.factorial(n) for n in range(servers))
    full = load ** servers / math.factorial(servers) * servers / (servers - load)
    return full / (below + full)


@pytest.mark.parametrize("servers, use", [(1, 0.7), (4, 0.8)])
def test_exponential_work_waits_as_erlang_says(servers, use):
    count = 40_000
    seconds = numpy.random.default_rng(7).exponential(1.0, count)
    course = simulate(jobs_of(poisson(count, use * servers, 1), seconds), Cluster(servers, **FREE), by_arrival)
    expected = erlang_c(servers, use * servers) / (servers - use * servers)
    # Means of a queue that is four fifths full converge slowly: some 4 % in forty thousand.
    assert (course.begun - course.arrived).mean() == pytest.approx(expected, rel=0.08)
    assert course.worked.sum() == pytest.approx(seconds.sum())


def test_constant_work_waits_half_as_long_as_exponential():
    """Pollaczek and Khinchine, M/D/1: use / (2 (1 - use)) of the work."""
    course = simulate(jobs_of(poisson(40_000, 0.7, 3), 1.0), Cluster(1, **FREE), by_arrival)
    assert (course.begun - course.arrived).mean() == pytest.approx(0.7 / (2 * 0.3), rel=0.06)


def test_a_shared_link_is_first_come_first_served():
    course = simulate(jobs_of([0.0, 0.0, 10.0], 1.0, size=100.0), Cluster(3, edge_rate=math.inf, wide_rate=50.0, head_rate=math.inf))
    assert sorted(course.arrived) == [2.0, 4.0, 12.0]


# --- what goes in comes out ------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(some.integers(1, 60), some.integers(1, 3), some.integers(1, 2), some.floats(0, 0.5), some.sampled_from([math.inf, 3000.0, 400.0]),
       some.booleans(), some.integers(0, 99))
def test_every_job_ends_once_and_nothing_is_lost(companions, nodes, gpus, fails, breaks_after, latest, seed):
    jobs = draw(Fleet(companions, days=2, ships=0.8), bases=2, seed=seed, seconds=600.0, words_bytes=2e5, adapter_bytes=3e6)
    cluster = Cluster(nodes, gpus, base_bytes=1e9, fails=fails, breaks_after=breaks_after, by_latest_start=latest)
    course = simulate(jobs, cluster, seed=seed)
    assert (course.end >= 0).all() and not numpy.isnan(course.ended).any()
    taken = (course.busy[:, 1] - course.busy[:, 0])
    assert (taken >= 0).all() and len(course.busy) == course.attempts.sum()
    assert taken.sum() == pytest.approx((course.worked + course.lost + course.fetching).sum())
    came_back = numpy.isin(course.end, (End.DONE, End.LATE))
    assert (course.worked > 0).tolist() == came_back.tolist()
    assert course.bytes["edges_to_cluster"] == jobs.bundle.sum()
    assert course.bytes["cluster_to_edges"] == course.bytes["nodes_to_head"] == jobs.result[came_back].sum()
    assert course.bytes["head_to_nodes"] == pytest.approx((jobs.bundle * course.attempts).sum())
    assert course.bytes["bases"] == course.bases_placed * cluster.base_bytes
    summed = figures.summary(course, jobs, cluster, companions, 2)
    assert summed["bytes"] == pytest.approx(course.bytes) and summed["gpu_hours"] == pytest.approx(taken.sum() / 3600)
    assert sum(summed[end.name.lower()] for end in End) == len(jobs)
    assert summed["utilisation"] == pytest.approx(taken.sum() / (nodes * gpus * 2 * DAY))
    if course.failures == 0:
        assert course.bases_placed <= 2 * nodes, "a base is placed once per node"
    assert (course.ended[course.end == End.DONE] <= jobs.due[course.end == End.DONE]).all()
    assert (course.ended[~came_back & (course.end != End.GIVEN_UP)] == jobs.until[~came_back & (course.end != End.GIVEN_UP)]).all()
    assert (course.attempts <= cluster.tries).all()
    assert not numpy.isnan(course.begun[course.attempts > 0]).any()
    assert figures.hourly(course, nodes * gpus).max(initial=0.0) <= 1 + 1e-9
    total = figures.hourly(course, nodes * gpus).sum() * nodes * gpus * 3600
    assert total == pytest.approx(taken.sum(), abs=1e-3)


def test_one_seed_is_one_course_and_another_is_another():
    fleet, cluster = Fleet(50, days=2), Cluster(2, fails=0.2, breaks_after=20_000.0)

    def once(seed):
        course = simulate(draw(fleet, **LOAD, seed=seed), cluster, seed=seed)
        return course.end.tolist(), course.ended.tolist(), course.busy.tolist()

    assert once(1) == once(1) != once(2)


def test_more_nodes_miss_no_more_nights():
    jobs = draw(Fleet(400, days=1), **LOAD)
    missed = [figures.summary(simulate(jobs, Cluster(nodes, **FREE)), jobs, Cluster(nodes), 400, 1)["missed_share"]
              for nodes in (1, 2, 3, 4)]
    assert missed == sorted(missed, reverse=True) and missed[0] > 0.1 and missed[-1] == 0.0


def test_nights_around_the_world_are_counted_in_full_load():
    """Of four days the two in the middle: their first nights meet those of the day before."""
    world = Fleet(240, days=4, zones=tuple(range(24)), bedtime_spread=0.0, morning_spread=0.0, jitter=0.0, size_spread=0.0)
    rows = []
    for seconds in (300.0, 400.0, 600.0):
        jobs, cluster = draw(world, **{**LOAD, "seconds": seconds}), Cluster(1, **FREE)
        rows.append(figures.summary(simulate(jobs, cluster), jobs, cluster, 240, 2, first=DAY))
        assert rows[-1]["jobs"] == 480 and rows[-1]["offered"] == pytest.approx(240 * seconds / DAY)
    assert [row["utilisation"] for row in rows] == pytest.approx([240 * 300 / DAY, 1.0, 1.0], abs=1e-3)
    assert [row["missed_share"] > 0.001 for row in rows] == [False, False, True]
    assert [figures.enough(row, 0.001) for row in rows] == [True, False, False], "a tenth too much is not seen within four days"


# --- order -----------------------------------------------------------------------------------------


def test_thirty_jobs_of_one_do_not_starve_the_one_of_another():
    shipped = [0.0] * 30 + [1.0]
    companion = [0] * 30 + [1]
    fair = simulate(jobs_of(shipped, 60.0, companion=companion, due=[7200.0] * 31), Cluster(2, **FREE), fair_then_morning)
    greedy = simulate(jobs_of(shipped, 60.0, companion=companion, due=[7200.0] * 31), Cluster(2, **FREE), by_arrival)
    assert fair.begun[30] == 60.0 and greedy.begun[30] == 900.0
    assert fair.worked.sum() == greedy.worked.sum()


def test_the_earliest_morning_is_first():
    course = simulate(jobs_of([0.0, 1.0, 2.0], 60.0, due=[999.0, 300.0, 200.0]), Cluster(1, **FREE))
    assert course.begun.tolist() == [0.0, 120.0, 60.0]


@settings(deadline=None, max_examples=60)
@given(some.lists(some.tuples(some.integers(0, 3), some.integers(0, 40), some.integers(-30, 60)), min_size=1, max_size=14),
       some.lists(some.booleans(), max_size=40), some.integers(1, 30), some.randoms())
def test_the_heap_is_the_engine_s_order(jobs, begins, hours, chance):
    """Whatever is pushed, begun, given back and waited for: the next is who `thor.queue.order` says."""
    zero = datetime.fromisoformat("2026-01-17T00:00:00+00:00")
    queue, waiting, begun, away = Queue(fair_then_morning, hours * 3600.0), {}, {}, []
    coming, now = sorted(enumerate(jobs), key=lambda one: one[1][1]), 0.0

    def push(number):
        home, _, morning = jobs[number]
        waiting[number] = Waiting(f"{number:03}", str(home), zero + timedelta(hours=morning, seconds=number))
        queue.push(number, home, morning * 3600.0 + number, now)

    for begin in begins:
        now += chance.randrange(4 * 3600)           # whole seconds: a datetime knows no less than a microsecond
        while coming and coming[0][1][1] * 3600.0 <= now:
            push(coming.pop(0)[0])
        if away and chance.random() < 0.3:
            push(away.pop(chance.randrange(len(away))))
        if begin:
            turns = order(list(waiting.values()), [Begun(f"{one:03}", str(jobs[one][0]), now - at) for one, at in begun.items()],
                          zero + timedelta(seconds=now), hours * 3600.0)
            got = queue.pop(now)
            assert got == (int(turns[0].job) if turns else None)
            if got is not None:
                begun[got] = now
                away.append(got)
                del waiting[got]


def test_an_idle_worker_hears_of_a_job_late_and_takes_the_first_in_order_then():
    course = simulate(jobs_of([0.0, 1.0, 50.0], 60.0, due=[900.0, 300.0, 200.0]), Cluster(1, **FREE, looks_after=1.5))
    assert course.begun.tolist() == [121.5, 1.5, 61.5]


# --- a real run ------------------------------------------------------------------------------------


def ran(arrived, begun, ended, servers=1) -> dict:
    return {"engine": "local", "servers": servers, "jobs": [
        {"job": str(n), "home": str(n), "worker": "one", "due": 1e6 + n, "arrived": at, "begun": start, "ended": stop}
        for n, (at, start, stop) in enumerate(zip(arrived, begun, ended, strict=True))]}


def test_a_run_that_went_as_the_simulation_goes_is_met_exactly():
    run = ran([0.0, 1.0, 2.0, 90.0], [0.5, 30.75, 41.0, 90.5], [30.5, 40.75, 51.0, 95.0])
    assert (trace.gaps(run["jobs"]), trace.looked(run["jobs"], 1)) == (0.25, 0.5)
    found = trace.check(run)
    assert found["own_durations"]["in_order"] == 1.0
    assert max(abs(off) for off in found["own_durations"]["off"].values()) < 1e-9


def test_what_lies_between_two_jobs_is_of_one_server_while_others_wait():
    run = ran([0.0, 0.0, 1.0, 2.0, 60.0], [0.0, 0.0, 12.0, 23.0, 70.0], [10.0, 20.0, 50.0, 40.0, 80.0], servers=2)
    for one, worker in zip(run["jobs"], "ababa", strict=True):
        one["worker"] = worker
    assert trace.gaps(run["jobs"]) == 2.5                  # 2 s on a, 3 on b; the last job came when a had long been free


def test_a_run_by_another_order_shows():
    late_first = ran([0.0, 1.0, 1.5], [0.0, 60.0, 30.0], [30.0, 90.0, 60.0])
    found = trace.check(late_first)["own_durations"]
    assert found["in_order"] == pytest.approx(2 / 3) and found["off"]["makespan"] == pytest.approx(0.0)


# --- ends by name ----------------------------------------------------------------------------------


@pytest.mark.parametrize("due, until, end, lost", [
    (100.0, 200.0, End.DONE, 0.0), (59.0, 200.0, End.LATE, 0.0), (30.0, 59.0, End.BROKEN_OFF, 59.0), (30.0, 0.0, End.WAITED, 0.0)])
def test_patience_ends_what_is_not_back(due, until, end, lost):
    course = simulate(jobs_of([0.0], 60.0, due=[due], until=[until]), Cluster(1, **FREE))
    assert (course.end[0], course.lost[0]) == (end, lost)


def test_a_job_that_cannot_be_back_in_time_gives_way_where_it_is_ordered_by_its_latest_start():
    jobs = jobs_of([0.0, 1.0, 2.0], 60.0, due=[500.0, 100.0, 180.0])
    by_morning, by_start = (simulate(jobs, Cluster(1, **FREE, by_latest_start=latest)) for latest in (False, True))
    assert [End(one).name for one in by_morning.end] == ["DONE", "LATE", "DONE"]
    assert by_start.begun.tolist() == [0.0, 120.0, 60.0], "what is late anyway goes behind"


def test_a_result_that_comes_behind_the_morning_is_late():
    course = simulate(jobs_of([0.0], 60.0, due=[75.0], size=10.0), Cluster(1, edge_rate=1.0, wide_rate=math.inf, head_rate=math.inf))
    assert course.end[0] == End.LATE and course.ended[0] == 80.0


def test_what_breaks_every_time_is_given_up_after_its_tries():
    course = simulate(jobs_of([0.0], 60.0), Cluster(1, **FREE, fails=1.0))
    assert (course.end[0], course.attempts[0], course.lost[0]) == (End.GIVEN_UP, 4, 240.0)


def test_the_base_is_fetched_once_by_a_node_and_again_after_it_broke():
    quiet = simulate(jobs_of([0.0, 100.0, 200.0], 10.0), Cluster(1, edge_rate=math.inf, wide_rate=math.inf, head_rate=10.0, base_bytes=50.0))
    assert (quiet.bases_placed, quiet.fetching.tolist()) == (1, [5.0, 0.0, 0.0])
    broken = simulate(jobs_of(numpy.arange(0.0, 5e5, 100.0), 10.0), Cluster(1, **FREE, base_bytes=50.0, breaks_after=1e5, repair=60.0))
    assert broken.failures > 1 and broken.bases_placed in (broken.failures, broken.failures + 1)


def test_a_home_node_is_preferred_over_one_without_the_base():
    course = simulate(jobs_of([0.0, 100.0, 200.0, 200.0], 50.0, base=[0, 1, 0, 1]), Cluster(2, **FREE, base_bytes=1.0))
    assert course.bases_placed <= 3


# --- companions ------------------------------------------------------------------------------------


def test_companions_sleep_at_night_in_their_own_zone():
    jobs = draw(Fleet(24, days=3, zones=tuple(range(-11, 13)), bedtime_spread=0.0, morning_spread=0.0, jitter=0.0), **LOAD)
    assert len(jobs) == 72 and (jobs.shipped >= 0).all() and (numpy.diff(jobs.shipped) >= 0).all()
    assert (jobs.due - jobs.shipped) == pytest.approx(7.5 * 3600)
    assert len(numpy.unique(jobs.shipped % DAY)) == 24, "every hour somebody goes to sleep"


def test_nights_are_of_the_mean_that_was_asked_and_ship_as_often():
    jobs = draw(Fleet(2000, days=7, ships=0.3), **LOAD)
    assert len(jobs) == pytest.approx(0.3 * 14_000, rel=0.05)
    assert jobs.seconds.mean() == pytest.approx(150.0, rel=0.03)
    assert (jobs.bundle - jobs.result).mean() == pytest.approx(2.5e5, rel=0.03)


# --- figures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold, start", [(1, 1), (1, 64), (7, 1), (64, 64), (500, 3), (500, 480), (500, 900)])
@pytest.mark.parametrize("stride", [2.0, 1.25])
def test_the_least_number_is_found_within_a_hundredth(threshold, start, stride):
    found = figures.least(lambda nodes: nodes >= threshold, start, stride=stride)
    assert threshold <= found <= threshold * 1.011
    assert figures.least(lambda nodes: nodes >= threshold, start, stride=stride, within=0.0) == threshold


def test_where_none_is_enough_none_is_said():
    assert figures.least(lambda nodes: False, most=1000) is None
    assert figures.least(lambda nodes: nodes >= 7, start=5, most=6) is None


def test_the_cost_is_a_formula():
    had = {"gpu_seconds_per_companion_and_night": 180.0, "gpu_seconds_held_per_companion_and_night": 3600.0, "nodes": 10, "companions": 100}
    assert figures.cost(had, figures.Prices(watts=100.0)) == {"gpu_seconds": 180.0, "gpu_seconds_held": 3600.0, "watt_hours": 5.0}
    found = figures.cost(had, figures.Prices(100.0, idle_watts=20.0, gpu_hour=2.0, kwh=0.5, node=1461.0, node_years=4.0))
    assert found["watt_hours"] == pytest.approx(5.0 + 19.0) and found["rented"] == pytest.approx(0.1)
    assert found["energy"] == pytest.approx(0.012) and found["machines"] == pytest.approx(0.1)
