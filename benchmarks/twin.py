"""A board's thermal twin: does the governor keep the ceiling, and what does that cost?

    python -m edge_sleep.benchmarks.twin simulate --boards 240
    python -m edge_sleep.benchmarks.twin live --boards 5 --times 4 --seconds 300 --plots build/

`simulate` works random boards in simulated time under the governor. `live` writes a warming board's files, runs the real jtop
service on them and a real night of the embedded companion beside it, at a few times the speed of real time; it needs root.
Each is held against the most that a constant duty could have done within the same limit, found by search for that board.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from edge_sleep.benchmarks.fake_board import plant

from edge_sleep.train.governor import Limits

LIMITS = Limits(ceiling=83.0, release=78.0)
TOLERANCE = 2.0                                        # kelvin above the ceiling that are never passed
LEAST_THROUGHPUT = 0.92
MOST_ENERGY_OFF = 0.02
NIGHT_SECONDS = plant.NIGHT_SECONDS


def spread(rows: list[dict], name: str) -> str:
    values = sorted(row[name] for row in rows)
    return f"{values[0]:.3f} / {statistics.median(values):.3f} / {values[-1]:.3f}"


def judge(rows: list[dict]) -> dict:
    """Whether every board kept to it. Throughput counts where heat binds; where it does not, full duty is the best."""
    bound = [row for row in rows if row["bound"]]
    return {"boards": len(rows), "bound_by_heat": len(bound), "most_over_ceiling": max(row["over_ceiling"] for row in rows),
            "least_throughput": min(row["throughput"] for row in rows),
            "least_throughput_bound": min((row["throughput"] for row in bound), default=None),
            "most_energy_off": max(abs(row["energy_off"]) for row in rows),
            "most_pauses_per_hour": max(row["pauses_per_hour"] for row in rows),
            "passed": all(row["over_ceiling"] <= TOLERANCE and row["throughput"] >= LEAST_THROUGHPUT
                          and abs(row["energy_off"]) <= MOST_ENERGY_OFF for row in rows)}


def simulate(count: int, seed: int) -> list[dict]:
    rows = []
    for number, board in enumerate(plant.draw(count, seed, LIMITS.ceiling or 0.0, NIGHT_SECONDS)):
        rows.append(plant.compared(board, LIMITS, TOLERANCE, NIGHT_SECONDS, seed + number))
        if sys.stderr.isatty():
            print(f"\r{number + 1}/{count}", end="", file=sys.stderr)
    return rows


_TOLD = {"best_duty": "best constant duty", "throughput": f"throughput of it within ceiling + {TOLERANCE:g}",
         "throughput_at_ceiling": "throughput of it within the ceiling", "over_ceiling": "kelvin over the ceiling",
         "pauses_per_hour": "pauses per hour", "duty_ripple": "duty's standard deviation", "energy_off": "energy, share off"}


def say(rows: list[dict]) -> dict:
    for words, bound in (("bound by heat", True), ("never hot", False)):
        group = [row for row in rows if row["bound"] is bound]
        if not group:
            continue
        print(f"{len(group)} boards {words}, least / median / most:")
        for key, told in _TOLD.items():
            print(f"  {told:<42} {spread(group, key)}")
    return judge(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="twin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "live"))
    parser.add_argument("--boards", type=int, default=None, help="how many  [default: 240 simulated, 5 live]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=float, default=4.0, help="live: how much faster than real time a board warms, at most 4")
    parser.add_argument("--seconds", type=float, default=300.0, help="live: length of each night, in this machine's seconds")
    parser.add_argument("--plots", type=Path, default=None, help="live: folder for a picture and the samples of each night")
    asked = parser.parse_args()
    began = time.monotonic()
    if asked.what == "simulate":
        rows = simulate(asked.boards or 240, asked.seed)
    else:
        from edge_sleep.benchmarks.fake_board.live import nights
        with tempfile.TemporaryDirectory() as place:
            rows = nights(asked.boards or 5, asked.seed, min(asked.times, 4.0), asked.seconds, LIMITS, TOLERANCE,
                          asked.plots or Path(place))
    result = say(rows) | {"what": asked.what, "took_seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
