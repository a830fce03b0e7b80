"""How fast one optimiser step is: edge_sleep beside Hugging Face + PEFT + bitsandbytes and TRL, in turns.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.step_time /tmp/shape --against hf,trl --shapes 1x512,1x1024

The same model, words, adapter and settings as in `peak`, checkpointing per block for all. Every contender is a process that
has loaded its model and waits; in each round each of them takes `--steps` steps, one contender after another. A round's
ratio is of the medians of its steps; reported are the median over the rounds and their range. `matmul` is the bare
bfloat16 product of the shape's largest layer, timed in the same rounds, which the step's own products are held against:
forward, recomputation up to the feed-forward's last layer, backward to the activations, causal attention, and the head
for the supervised half. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks import peak

from edge_sleep.device import environment
from edge_sleep.model.shape import Shape, read


class Turnstile:
    """Lets a contender take as many steps as the parent asks for, one line on standard input a turn, and times them."""

    def __init__(self) -> None:
        self.left, self.times, self.losses = 0, list[float](), list[float]()
        self.began = 0.0

    def enter(self, *_: Any) -> None:
        if not self.left:
            if self.times:
                print(json.dumps({"seconds": self.times, "losses": self.losses}), flush=True)
                self.times, self.losses = [], []
            line = sys.stdin.readline()
            if not line.strip():
                sys.exit(0)
            self.left = int(line)
        self.began = time.monotonic()

    def leave(self, loss: float | None = None) -> None:
        self.times.append(time.monotonic() - self.began)
        if loss is not None:
            self.losses.append(loss)
        self.left -= 1


def serve(folder: str, who: str, rows: int, tokens: int, settings: dict) -> None:
    """Load the contender and take turns until standard input ends."""
    turnstile = Turnstile()
    peak.CONTENDERS[who](folder, rows, tokens, {**settings, "epochs": 10_000} if who == "ours" else settings, turnstile)


class Contender:
    def __init__(self, folder: str, who: str, shape: str, sets: list[str]):
        command = [sys.executable, "-m", "edge_sleep.benchmarks.step_time", folder, "--only", who, "--shapes", shape,
                   *(part for entry in sets for part in ("--set", entry))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, steps: int) -> dict:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        # The answer comes when the contender asks for its next turn; libraries may have printed lines of their own.
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                return json.loads(line)
        raise SystemExit(f"a contender ended: exit code {self.process.wait()}")

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def step_gflop(shape: Shape, rows: int, tokens: int) -> float:
    """The products that a step cannot do without, in GFLOP."""
    down = shape.layers * shape.hidden * shape.intermediate
    linears = rows * tokens * 2 * (3 * shape.linear_parameters - down)
    head = rows * tokens // 2 * 4 * shape.vocabulary * shape.hidden
    # Two products forward, twice, and five backward, each over half of the [T, T] pairs.
    attention = shape.layers * rows * 9 * tokens ** 2 * shape.heads * shape.head_size
    return (linears + head + attention) / 1e9


def matmul_gflops(shape: Shape, rows: int, seconds: float = 1.0) -> float:
    """GFLOP per second of the bare product of the largest layer, forward and backward by turns."""
    import torch

    left, right = (torch.randn(size, dtype=torch.bfloat16) for size in ((rows, shape.hidden), (shape.intermediate, shape.hidden)))
    given = torch.nn.functional.linear(left, right)
    began, times = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        torch.nn.functional.linear(left, right)
        given @ right
        times += 2
    return times * 2 * rows * shape.hidden * shape.intermediate / (time.monotonic() - began) / 1e9


def compare(folder: str, given: str, against: list[str], sets: list[str], rounds: int, steps: int,
            say: Callable[[str], None]) -> dict:
    """All contenders on one shape: every turn, the ratios, the share of the bare product."""
    rows, tokens = map(int, given.split("x"))
    shape = read(Path(folder))
    contenders = {who: Contender(folder, who, given, sets if who == "ours" else []) for who in ("ours", *against)}
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    first_losses, rates = {}, []
    for who, contender in contenders.items():
        first_losses[who] = contender.turn(2)["losses"]                # to warm up, not counted
    for number in range(rounds):
        rates.append(matmul_gflops(shape, rows * tokens))
        for who, contender in contenders.items():
            seconds[who].append(statistics.median(contender.turn(steps)["seconds"]))
        say(f"{given} round {number + 1}: " + ", ".join(f"{who} {taken[-1]:.2f} s" for who, taken in seconds.items())
            + f"; bare product {rates[-1]:.0f} GFLOP/s")
    for contender in contenders.values():
        contender.close()
    gflop = step_gflop(shape, rows, tokens)
    shares = sorted(gflop / taken / rate for taken, rate in zip(seconds["ours"], rates, strict=True))
    ratios = {who: sorted(theirs / mine for mine, theirs in zip(seconds["ours"], seconds[who], strict=True)) for who in against}
    for who, found in ratios.items():
        say(f"{given}: {who} / ours {statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})")
    say(f"{given}: {statistics.median(shares):.0%} ({shares[0]:.0%} to {shares[-1]:.0%}) of the bare product, "
        f"for {gflop:.0f} GFLOP")
    return {"shape": given, "sets": sets, "seconds": seconds, "matmul_gflops": rates, "gflop": gflop,
            "first_losses": first_losses, "ratios": {who: _spread(found) for who, found in ratios.items()},
            "of_matmul": _spread(shares)}


def _spread(found: list[float]) -> dict[str, float]:
    return {"median": statistics.median(found), "low": min(found), "high": max(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--against", default="hf", help="hf, trl (pip install trl), both with a comma, or nothing")
    parser.add_argument("--shapes", default="1x512,1x1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE",
                        help="settings of ours, as in peak")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        rows, tokens = map(int, arguments.shapes.split("x"))
        serve(arguments.folder, arguments.only, rows, tokens, peak.settings_of(arguments.sets))
        return
    results = [compare(arguments.folder, given, [name for name in arguments.against.split(",") if name], arguments.sets,
                       arguments.rounds, arguments.steps, lambda text: print(text, flush=True))
               for given in arguments.shapes.split(",")]
    print(json.dumps({"benchmark": "step_time", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
