"""What minding heat costs: the same training steps with and without it, in turns, and the processor time and memory it takes.

    python -m edge_sleep.benchmarks.governor --source jtop
    python -m edge_sleep.benchmarks.governor --source sysfs --rounds 12

The board is one of files (benchmarks/fake_board), cool enough that nothing is slowed; with --source jtop the real service runs on
it, which needs root. Step times of the two ways, paired by round, with the quartiles of their ratio; beside them what the kernel
counted: processor seconds of the telemetry thread and of the process that reads the service, per second of training.
The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from edge_sleep.benchmarks.fake_board.service import Service, impossible
from edge_sleep.benchmarks.fake_board.tree import Board

import edge_sleep.seedling
from edge_sleep import config
from edge_sleep.device import environment
from edge_sleep.device.telemetry.choose import Source
from edge_sleep.device.telemetry.jtop import Jtop
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.system.clock import Clock
from edge_sleep.train.governor import Limits
from edge_sleep.train.pace import Pace, unpaced

MOST_TIME, MOST_BYTES = 0.01, 40_000_000


def work(settings: config.Config) -> Any:
    """A function that does one micro-batch of the seedling's training."""
    import torch

    from edge_sleep.data.dataset import collate, tokenise_all
    from edge_sleep.data.experience import Example
    from edge_sleep.device import detect
    from edge_sleep.model import adapter
    from edge_sleep.model import base as base_model
    from edge_sleep.train import blocks, objective

    torch.set_num_threads(1)
    device = detect.choose()
    place = base_model.resolve(str(edge_sleep.seedling.MODEL))
    loaded = base_model.load(base_model.Base(place, "", device.compute_dtype), device)
    objective.prepare_for_training(loaded.model, True)
    model = adapter.attach_new(loaded.model, settings.lora, 0)
    loss_of, _ = objective.chunked_objective(model, 512)
    blocks.make_lean(model, checkpointing=True)
    talk = [Example([{"role": "user", "content": f"What did we say on day {day}?"},
                     {"role": "assistant", "content": f"On day {day} we spoke about the harbour and its boats."}], 1.0, "new",
                    str(day), True) for day in range(8)]
    examples, _ = tokenise_all(loaded.tokenizer, talk, settings.companion.system_prompt, 512)
    batch = collate(examples, loaded.tokenizer.pad_token_id, False)

    def once() -> None:
        loss_of(model, batch, 100.0).backward()
        model.zero_grad()

    return once


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=("jtop", "sysfs"), default="jtop")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0, help="of work in each half of a round")
    asked = parser.parse_args()
    if asked.source == "jtop" and (why := impossible()) is not None:
        raise SystemExit(f"governor: {why}")
    once = work(config.load(None, ["companion.model=seedling"]))
    with tempfile.TemporaryDirectory() as place, ExitStack() as running:
        board = Board(Path(place) / "board", "orin-nano-8gb", 45.0, 12.0)
        if asked.source == "jtop":
            running.enter_context(Service(board))
        for _ in range(3):
            once()
        rows = [measure(once, board, asked.source, asked.seconds, number) for number in range(asked.rounds)]
    ratios = sorted(row["with"] / row["without"] for row in rows)
    quarter = len(ratios) // 4
    result = {"source": asked.source, "ratio": statistics.median(ratios), "low": ratios[quarter], "high": ratios[-1 - quarter],
              "processor_share": statistics.median(row["processor_share"] for row in rows),
              "bytes": max(row["bytes"] for row in rows), "environment": environment.describe()}
    result["passed"] = result["ratio"] - 1 < MOST_TIME and result["processor_share"] < MOST_TIME and result["bytes"] < MOST_BYTES
    print(f"{asked.source}: a step takes {result['ratio'] - 1:+.2%} (quartiles {result['low'] - 1:+.2%} to "
          f"{result['high'] - 1:+.2%}, {len(rows)} rounds), "
          f"{result['processor_share']:.2%} of one core, {result['bytes'] / 1e6:.1f} MB")
    print(json.dumps(result))
    return 0 if result["passed"] else 1


def measure(once: Any, board: Board, source: str, seconds: float, number: int) -> dict[str, float]:
    """One round: seconds a micro-batch without and with the pace, whichever comes first by turns."""
    row: dict[str, float] = {}
    for kind in ("without", "with") if number % 2 else ("with", "without"):
        if kind == "without":
            row[kind] = _timed(once, unpaced(Clock()), seconds)
            continue
        gc.collect()
        process = psutil.Process()
        before = process.memory_info().rss
        read: Source = Jtop("VDD_IN", meminfo=board.meminfo) if source == "jtop" else Sysfs(board.sys, board.meminfo)
        if (why := read.available()) is not None:
            raise SystemExit(f"governor: {why}")
        with Pace(read, Limits(ceiling=83.0, release=78.0), Clock(), record=board.root / "telemetry.jsonl") as pace:
            used, began = _used(process, pace), time.monotonic()
            row[kind] = _timed(once, pace, seconds)
            row["processor_share"] = (_used(process, pace) - used) / (time.monotonic() - began)
            own = sum(child.memory_full_info().uss for child in _readers(process))
            row["bytes"] = own + max(0, process.memory_info().rss - before)
    return row


def _timed(once: Any, pace: Pace, seconds: float) -> float:
    pace.begin()
    began, count = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        once()
        pace.rest()
        count += 1
    return passed / count


def _used(process: psutil.Process, pace: Pace) -> float:
    """Processor seconds of the telemetry thread, and of the process that reads the service."""
    thread = pace._thread.native_id if pace._thread is not None else None
    own = sum(one.user_time + one.system_time for one in process.threads() if one.id == thread)
    return own + sum(sum(child.cpu_times()[:2]) for child in _readers(process))


def _readers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if any("jtop_child" in word for word in child.cmdline())]


if __name__ == "__main__":
    sys.exit(main())
