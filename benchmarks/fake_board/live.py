"""A real night beside a warming board: its CPU time heats the board, the jtop service shows that, the night governs itself."""
from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from edge_sleep.benchmarks.fake_board import plant
from edge_sleep.benchmarks.fake_board.plot import picture
from edge_sleep.benchmarks.fake_board.service import Service, impossible
from edge_sleep.benchmarks.fake_board.tree import Board

import edge_sleep.seedling
from edge_sleep.device.thermal_model import TwoNodes
from edge_sleep.system.events import read_events
from edge_sleep.train.governor import Limits

_TICK_SECONDS = 0.1
_SETS = ("thermal.source=jtop", "train.threads=1", "train.epochs=40", "train.loss_floor=0", "budget.reserve=0.05",
         "data.min_new=2")


@dataclass(frozen=True)
class Sample:
    """One moment of the twin: wall-clock seconds, Celsius, watts, share of a core that the night used."""

    at: float
    die: float
    sink: float
    seen: float
    watts: float
    busy: float


def nights(count: int, seed: int, times: float, seconds: float, limits: Limits, tolerance: float, folder: Path) -> list[dict]:
    """One row a board, as plant.compared gives them. Raises SystemExit where no service can be started here."""
    if (why := impossible()) is not None:
        raise SystemExit(f"twin live: {why}")
    folder.mkdir(parents=True, exist_ok=True)
    assert limits.ceiling is not None
    drawn = plant.draw(100 * count, seed, limits.ceiling, plant.NIGHT_SECONDS)
    bound = (board for board in drawn if plant.constant(board, 1.0, 900.0)[0] > limits.ceiling + tolerance)
    rows = []
    for number in range(1, count + 1):
        warmth = next(bound)
        print(f"night {number} of {count}: {warmth}", file=sys.stderr)
        rows.append(_night(warmth, times, seconds, limits, tolerance, folder / f"night-{number}", seed + number))
        print(f"  {json.dumps({name: value for name, value in rows[-1].items() if name != 'board'})}", file=sys.stderr)
    return rows


def _night(warmth: plant.Warmth, times: float, seconds: float, limits: Limits, tolerance: float, name: Path, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as place:
        home, nodes = Path(place) / "home", warmth.faster(times).plant()
        board = Board(Path(place) / "board", "orin-nano-8gb", nodes.die, plant.IDLE_WATTS)
        command = [sys.executable, "-m", "edge_sleep", "night", "--home", str(home),
                   "--sessions", str(edge_sleep.seedling.SESSIONS),
                   "--profile", "orin-nano-8gb", "--budget", f"{seconds:.0f}s", "--json",
                   *(part for item in (*_SETS, f"thermal.ceiling_celsius={limits.ceiling}",
                                       f"thermal.release_celsius={limits.released}") for part in ("--set", item))]
        with Service(board), (Path(place) / "log").open("wb") as log:
            night = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
            try:
                samples = list(_warm(board, nodes, warmth, times, night, seed))
            finally:
                night.kill()
        record = json.loads(night.stdout.read().splitlines()[-1])              # type: ignore[union-attr]
        events = read_events(next(home.glob("nights/*/events.jsonl")))
    row = _compare(warmth, times, samples, record, events, limits, tolerance)
    picture(name.with_suffix(".png"), samples, events, record, limits, times, row)
    kept = {"row": row, "record": record, "samples": [asdict(one) for one in samples[::5]]}
    name.with_suffix(".json").write_text(json.dumps(kept))
    return row


def _warm(board: Board, nodes: TwoNodes, warmth: plant.Warmth, times: float, night: subprocess.Popen, seed: int):
    """Write the board's files until the night has ended."""
    chance, process = random.Random(seed), psutil.Process(night.pid)
    seen, last, used = nodes.die, time.monotonic(), 0.0
    while night.poll() is None:
        time.sleep(_TICK_SECONDS)
        try:
            cpu = sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            return
        now = time.monotonic()
        passed, last = now - last, now
        busy, used = min(1.0, (cpu - used) / passed), cpu
        watts = plant.IDLE_WATTS + warmth.work_watts * busy
        nodes.advance(watts, passed)
        seen += (nodes.die - seen) * -math.expm1(-passed * times / warmth.lag_seconds)
        shown = seen + chance.gauss(0, 0.05)
        for zone, below in (("tj", 0.0), ("gpu", 0.5), ("cpu", 1.5)):
            board.heat(shown - below, zone)
        board.draw(watts)
        yield Sample(time.time(), nodes.die, nodes.sink, shown, watts, busy)


def _compare(warmth: plant.Warmth, times: float, samples: list[Sample], record: dict[str, Any], events: list[dict],
             limits: Limits, tolerance: float) -> dict[str, Any]:
    """The night against the best constant duty that begins where its training began."""
    assert limits.ceiling is not None
    at = {event["event"]: datetime.fromisoformat(event["at"]).timestamp() for event in reversed(events)}      # first of each
    steps = [datetime.fromisoformat(event["at"]).timestamp() for event in events if event["event"] == "step"]
    begun, ended = at["objective"], steps[-1]
    length = ended - begun
    duty = 1 - record["measured"]["paused_seconds"] / length
    forward = record["measured"]["step_seconds_p50"] / record["train"]["grad_accum_steps"]
    start = next(one for one in samples if one.at >= begun)
    best = _best_constant(warmth.faster(times), start, forward, length, limits.ceiling + tolerance)
    counted = [one for one in samples if at["telemetry"] <= one.at <= datetime.fromisoformat(events[-1]["at"]).timestamp()]
    truth = sum((now.at - before.at) * now.watts for before, now in zip(counted, counted[1:], strict=False))
    pauses = sum(event["action"] == "pause" for event in events if event["event"] == "pace")
    return {"board": asdict(warmth), "bound": True, "times": times, "outcome": record["outcome"],
            "forward_seconds": round(forward, 3),
            "training_seconds": round(length, 1), "duty": duty, "best_duty": best, "throughput": duty / best,
            "throughput_at_ceiling": duty / _best_constant(warmth.faster(times), start, forward, length, limits.ceiling),
            "over_ceiling": max(one.die for one in samples) - limits.ceiling, "pauses_per_hour": pauses * 3600 / (length * times),
            "duty_ripple": _ripple(samples, begun + length / 3, ended),
            "energy_off": record["measured"]["energy_joules"] / truth - 1}


def _best_constant(warmth: plant.Warmth, start: Sample, forward: float, seconds: float, limit: float) -> float:
    def hottest(duty: float) -> float:
        nodes = warmth.plant()
        nodes.die, nodes.sink = start.die, start.sink
        most = -math.inf
        for _ in range(int(seconds * duty / forward)):
            most = max(most, nodes.advance(plant.IDLE_WATTS + warmth.work_watts, forward))
            nodes.advance(plant.IDLE_WATTS, forward * (1 / duty - 1))
        return most

    return 1.0 if hottest(1.0) <= limit else plant.largest_duty(lambda tried: hottest(tried) <= limit)


def _ripple(samples: list[Sample], begun: float, ended: float) -> float:
    """Standard deviation of the share that was worked, of ten seconds each."""
    shares: dict[int, list[float]] = {}
    for one in samples:
        if begun <= one.at <= ended:
            shares.setdefault(int(one.at / 10), []).append(one.busy)
    means = [sum(part) / len(part) for part in shares.values()]
    middle = sum(means) / len(means)
    return math.sqrt(sum((value - middle) ** 2 for value in means) / len(means))
