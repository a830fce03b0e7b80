"""Many companions on one cluster, simulated: bytes, GPU hours, nights missed, where it saturates, what a companion costs.

    python -m edge_sleep.benchmarks.fleet simulate --companions 1000 --plot fleet.png
    python -m edge_sleep.benchmarks.fleet simulate --companions 100000 --zones 24 --wide-mbit 10000
    python -m edge_sleep.benchmarks.fleet capacity --nodes 1
    python -m edge_sleep.benchmarks.fleet sizes
    python -m edge_sleep.benchmarks.fleet check run.json

`simulate` finds the fewest nodes with which at most `--missed` of the nights are missed (or takes `--nodes`), then runs `--days`
with them; `capacity` finds the most companions that `--nodes` serve. `sizes` packs and seals a real night of the sample
conversations: what the jobs weigh. `check` holds the simulation against a real run (`python -m tests.thor.real_run`). Money is
only counted with prices that are given. The last line is JSON.
"""
from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sleep.benchmarks.cluster import figures, sizes
from edge_sleep.benchmarks.cluster.demand import Fleet, Jobs, draw
from edge_sleep.benchmarks.cluster.loop import MEGABIT, Cluster, Course, simulate

from edge_sleep.thor.queue import WINDOW_SECONDS

SWEEP = (0.5, 0.7, 0.85, 1.0, 1.2, 1.6)              # of the nodes that are enough
SWEEP_DAYS, SWEEP_JOBS = 2, 50_000                   # a sweep's course is so long, or a day where that is more jobs
NIGHT_HOURS = 9.5                                    # of one zone's bedtimes and mornings: a first guess
SHOWN = ("nodes", "missed_share", "wait_p50_seconds", "wait_p95_seconds", "utilisation", "utilisation_busiest_hour")
_WATTS = 120.0                                       # AGX Thor's default power mode in its profile: a cap, not a measurement


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "capacity", "sizes", "check"))
    parser.add_argument("file", nargs="?", type=Path, help="check: what tests.thor.real_run wrote")
    parser.add_argument("--companions", type=int, default=1000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--zones", type=int, default=1, help="time zones they live in: 1 is one city, 24 the world")
    parser.add_argument("--ships", type=float, default=1.0, help="share of nights that are trained on the cluster")
    parser.add_argument("--model", default="qwen2.5-0.5b", help="of model/known_shapes.py")
    parser.add_argument("--board", default="agx-thor-128gb", help="profile of a node: its training_flops_per_second")
    parser.add_argument("--seconds", type=float, help="GPU seconds of a job, where you have measured them")
    parser.add_argument("--adapters-kept", action="store_true",
                        help="the cluster keeps each companion's last adapter, so it travels one way (what that would save)")
    parser.add_argument("--nodes", type=int, help="how many; without it the fewest that are enough")
    parser.add_argument("--gpus", type=int, default=1, help="of a node")
    parser.add_argument("--edge-mbit", type=float, default=20.0, help="a companion's link, each way")
    parser.add_argument("--wide-mbit", type=float, default=1000.0, help="the cluster's link to the world, each way")
    parser.add_argument("--head-mbit", type=float, default=10000.0, help="the head's link to the nodes, each way")
    parser.add_argument("--breaks-days", type=float, default=30.0, help="mean days between two failures of a node")
    parser.add_argument("--fails", type=float, default=0.005, help="share of attempts that break at their end")
    parser.add_argument("--missed", type=float, default=0.001, help="share of nights that may be missed")
    parser.add_argument("--by-latest-start", action="store_true", help="order by when a job must be begun, not by its morning")
    parser.add_argument("--watts", type=float, default=_WATTS, help="of a GPU's machine at work")
    parser.add_argument("--idle-watts", type=float, default=0.0)
    parser.add_argument("--gpu-hour", type=float, help="price of a rented GPU hour")
    parser.add_argument("--kwh", type=float, help="price of a kilowatt hour")
    parser.add_argument("--node-price", type=float, help="price of a node that is yours, over --node-years")
    parser.add_argument("--node-years", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    if asked.what == "sizes":
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"benchmark": "fleet sizes", **sizes.measure(Path(folder))}))
        return 0
    if asked.what == "check":
        from edge_sleep.benchmarks.cluster.trace import check
        if asked.file is None:
            parser.error("check needs the file that `python -m tests.thor.real_run` wrote")
        document = check(json.loads(asked.file.read_text()))
        print(json.dumps(document))
        return 0
    began = time.monotonic()
    document = capacity(asked) if asked.what == "capacity" else plan(asked)
    if asked.plot and document["figures"]:
        from edge_sleep.benchmarks.cluster.picture import picture
        picture(document, asked.plot)
    document.pop("hourly", None)
    print(json.dumps(document | {"took_seconds": round(time.monotonic() - began, 1)}))
    return 0 if document["figures"] else 1


@dataclass(frozen=True)
class Case:
    """What was asked: a fleet's rhythm, a cluster's parts, the weight of a job."""

    asked: argparse.Namespace
    load: sizes.Load

    @property
    def seconds(self) -> float:
        return self.asked.seconds or self.load.seconds

    @property
    def assumed(self) -> dict:
        return {"model": self.asked.model, "board": self.asked.board, "zones": self.asked.zones,
                "job_seconds": round(self.seconds, 1),
                "job_bytes_up": self.load.bundle_bytes - self.asked.adapters_kept * self.load.result_bytes,
                "job_bytes_down": self.load.result_bytes, "base_bytes": self.load.base_bytes}

    @property
    def before(self) -> int:
        """Days that are simulated before those that count, and behind them: nights of several zones overlap from day to day."""
        return 1 if self.asked.zones > 1 else 0

    def jobs(self, companions: int, days: int) -> Jobs:
        fleet = Fleet(companions, days + 2 * self.before, tuple(range(self.asked.zones)), self.asked.ships)
        jobs = draw(fleet, seconds=self.seconds, words_bytes=sizes.WORDS_BYTES, adapter_bytes=self.load.result_bytes,
                    seed=self.asked.seed)
        return replace(jobs, bundle=jobs.bundle - jobs.result) if self.asked.adapters_kept else jobs

    def run(self, jobs: Jobs, companions: int, nodes: int, days: int) -> tuple[dict, Course]:
        asked = self.asked
        cluster = Cluster(nodes, asked.gpus, asked.edge_mbit * MEGABIT, asked.wide_mbit * MEGABIT, asked.head_mbit * MEGABIT,
                          self.load.base_bytes, asked.breaks_days * 86400, fails=asked.fails,
                          by_latest_start=asked.by_latest_start, window=WINDOW_SECONDS)
        course = simulate(jobs, cluster, seed=asked.seed)
        return figures.summary(course, jobs, cluster, companions, days, self.before * 86400.0), course


def case(asked: argparse.Namespace) -> Case:
    found = Case(asked, sizes.of_board(asked.model, asked.board))
    said = found.assumed
    print(f"{asked.zones} zone(s): a job is {said['job_seconds']:.0f} GPU seconds, {said['job_bytes_up'] / 1e6:.1f} MB up and "
          f"{said['job_bytes_down'] / 1e6:.1f} MB down; the base {said['base_bytes'] / 1e9:.2f} GB")
    return found


def capacity(asked: argparse.Namespace) -> dict:
    """How many companions so many nodes serve; also without failures, where one node is all there is."""
    of, nodes, found = case(asked), asked.nodes or 1, {}
    for name, broken in (("with failures", asked), ("without", argparse.Namespace(**{**vars(asked), "breaks_days": math.inf}))):
        one = replace(of, asked=broken)

        def too_many(companions: int, one: Case = one) -> bool:
            row = one.run(one.jobs(companions, asked.days), companions, nodes, asked.days)[0]
            return not figures.enough(row, asked.missed)

        found[name] = max(0, (figures.least(too_many, within=0.0) or 0) - 1)
        print(f"{nodes} node(s) serve {found[name]} companions {name}, at most {asked.missed:.2%} of their nights missed")
    return {"benchmark": "fleet", "assumed": of.assumed, "nodes": nodes, "figures": found}


def plan(asked: argparse.Namespace) -> dict:
    """Everything `simulate` says, printed on the way."""
    of, companions = case(asked), asked.companions
    days = min(SWEEP_DAYS if SWEEP_DAYS * companions * asked.ships <= SWEEP_JOBS else 1, asked.days)
    few = of.jobs(companions, days)
    # Links alone: what no number of nodes can mend.
    unlimited = of.run(few, companions, max(64, 2 * companions), days)[0]["missed_share"]
    nodes = asked.nodes
    if nodes is None and unlimited <= asked.missed:
        window = min(24.0, NIGHT_HOURS + asked.zones - 1) * 3600
        guess = max(1, round(companions * asked.ships * of.seconds / window / asked.gpus))
        nodes = figures.least(lambda number: figures.enough(of.run(few, companions, number, days)[0], asked.missed), guess,
                              2 * companions, 1.25)
    if nodes is None:
        print(f"links saturate: {unlimited:.1%} of the nights are missed with a GPU for all; raise --wide-mbit, --head-mbit")
        return {"benchmark": "fleet", "assumed": of.assumed, "missed_by_links_alone": unlimited, "figures": None}
    sweep = []
    for number in sorted({max(1, math.ceil(share * nodes)) for share in SWEEP}):
        row = of.run(few, companions, number, days)[0]
        sweep.append({name: row[name] for name in SHOWN})
        print(f"{row['nodes']:6} nodes: {row['missed_share']:7.2%} missed, wait p50 {row['wait_p50_seconds'] / 60:6.1f} min, "
              f"p95 {row['wait_p95_seconds'] / 60:6.1f} min, {row['utilisation']:.0%} used, "
              f"{row['utilisation_busiest_hour']:.0%} in the busiest hour", flush=True)
    found, course = of.run(of.jobs(companions, asked.days), companions, nodes, asked.days)
    costs = figures.cost(found, figures.Prices(asked.watts, asked.idle_watts, asked.gpu_hour, asked.kwh, asked.node_price,
                                               asked.node_years))
    say(found, costs)
    return {"benchmark": "fleet", "assumed": of.assumed, "missed_by_links_alone": unlimited, "figures": found, "cost": costs,
            "sweep": sweep, "hourly": figures.hourly(course, found["gpus"]).round(4).tolist()}


def say(found: dict, costs: dict) -> None:
    moved = found["bytes"]
    print(f"{found['nodes']} nodes, {found['days']} days: {found['jobs']} jobs, {found['done']} in time; missed "
          f"{found['missed_share']:.3%} (late {found['late']}, taken back waiting {found['waited']}, "
          f"working {found['broken_off']}, given up {found['given_up']})")
    print(f"  GPU hours {found['gpu_hours']:.0f}: worked {found['gpu_hours_worked']:.0f}, lost {found['gpu_hours_lost']:.1f}, "
          f"fetching {found['gpu_hours_fetching']:.1f}; used {found['utilisation']:.1%}, {found['node_failures']} node failures")
    print("  bytes: " + ", ".join(f"{name.replace('_', ' ')} {size / 1e9:.1f} GB" for name, size in moved.items())
          + f"; {found['bases_placed']} bases placed")
    print("  a companion's night: " + ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in costs.items()))


if __name__ == "__main__":
    raise SystemExit(main())
