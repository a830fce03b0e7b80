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
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.ceilings import matmul_gflops
from edge_sleep.benchmarks.contenders import CONTENDERS, Gate, asked, settings_of, settled

from edge_sleep.device import environment
from edge_sleep.model.shape import Shape, read


class Turnstile(Gate):
    """Lets a contender take as many steps as the parent asks for, one line on standard input a turn, and times them."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.times, self.processor = 0, list[float](), list[float]()
        self.began = self.worked = 0.0

    def enter(self, *_: Any) -> None:
        if not self.left:
            if self.times:
                print(json.dumps({"seconds": self.times, "processor": self.processor, "losses": self.losses}), flush=True)
                self.times, self.processor, self.losses = [], [], []
            line = sys.stdin.readline()
            if not line.strip():
                sys.exit(0)
            self.left = int(line)
        settled()
        self.began, self.worked = time.monotonic(), time.process_time()

    def leave(self, loss: float | None = None) -> None:
        settled()
        self.times.append(time.monotonic() - self.began)
        self.processor.append(time.process_time() - self.worked)
        super().leave(loss)
        self.left -= 1


def serve(folder: str, who: str, rows: int, tokens: int, settings: dict) -> None:
    """Load the contender and take turns until standard input ends."""
    CONTENDERS[who](folder, rows, tokens, asked(who, settings), Turnstile())


class ContenderEnded(Exception):
    """A contender that takes no more turns: who, its exit code, its last words."""

    def __init__(self, who: str, code: int, last: str):
        super().__init__(f"{who} ended with exit code {code}: {last}")
        self.who, self.code, self.last = who, code, last


class Contender:
    """A process that has loaded its model and takes steps when it is asked to."""

    def __init__(self, folder: str, who: str, shape: str, sets: list[str]):
        command = [sys.executable, "-m", "edge_sleep.benchmarks.step_time", folder, "--only", who, "--shapes", shape,
                   *(part for entry in sets for part in ("--set", entry))]
        self.who = who
        self._said = tempfile.TemporaryFile("w+")                # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True)

    def turn(self, steps: int) -> dict:
        """Take `steps` steps: their seconds and losses. Raises ContenderEnded."""
        assert self.process.stdin and self.process.stdout
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        # The answer comes when the contender asks for its next turn; libraries may have printed lines of their own.
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):
                return json.loads(line)
        code = self.process.wait()
        self._said.seek(0)
        raise ContenderEnded(self.who, code, (self._said.read().strip().splitlines() or ["it said nothing"])[-1])

    def close(self) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self._said.close()


def step_gflop(shape: Shape, rows: int, tokens: int) -> float:
    """The products that a step cannot do without, in GFLOP."""
    down = shape.layers * shape.hidden * shape.intermediate
    linears = rows * tokens * 2 * (3 * shape.linear_parameters - down)
    head = rows * tokens // 2 * 4 * shape.vocabulary * shape.hidden
    # Two products forward, twice, and five backward, each over half of the [T, T] pairs.
    attention = shape.layers * rows * 9 * tokens ** 2 * shape.heads * shape.head_size
    return (linears + head + attention) / 1e9


def in_turns(folder: str, given: str, who: Sequence[str], sets: list[str], rounds: int, steps: int, say: Callable[[str], None],
             metered: Callable[[str], AbstractContextManager[None]] = lambda who: nullcontext()) -> dict:
    """Everybody's seconds a step in every round, one after another, beside the bare product of that round.

    metered(who): entered for each turn of `who`. Raises ContenderEnded.
    """
    rows, tokens = map(int, given.split("x"))
    shape, dtype = read(Path(folder)), settings_of(sets).get("dtype", "bfloat16")
    seconds: dict[str, list[float]] = {name: [] for name in who}
    processor: dict[str, list[float]] = {name: [] for name in who}
    first_losses, rates = {}, []
    contenders = {name: Contender(folder, name, given, sets) for name in who}
    try:
        for name, contender in contenders.items():
            first_losses[name] = contender.turn(2)["losses"]                # to warm up, not counted
        for number in range(rounds):
            rates.append(matmul_gflops(shape, rows * tokens, dtype))
            for name, contender in contenders.items():
                with metered(name):
                    taken = contender.turn(steps)
                seconds[name].append(statistics.median(taken["seconds"]))
                processor[name].append(statistics.median(taken["processor"]))
            say(f"{given} round {number + 1}: " + ", ".join(f"{name} {times[-1]:.3g} s" for name, times in seconds.items())
                + f"; bare product {rates[-1]:.0f} GFLOP/s")
    finally:
        for contender in contenders.values():
            contender.close()
    return {"shape": given, "sets": sets, "seconds": seconds, "processor": processor, "matmul_gflops": rates,
            "gflop": step_gflop(shape, rows, tokens), "first_losses": first_losses}


def compare(folder: str, given: str, against: list[str], sets: list[str], rounds: int, steps: int,
            say: Callable[[str], None]) -> dict:
    """All contenders on one shape: every turn, the ratios, the share of the bare product."""
    found = in_turns(folder, given, ("ours", *against), sets, rounds, steps, say)
    seconds, gflop = found["seconds"], found["gflop"]
    shares = sorted(gflop / taken / rate for taken, rate in zip(seconds["ours"], found["matmul_gflops"], strict=True))
    ratios = {who: sorted(theirs / mine for mine, theirs in zip(seconds["ours"], seconds[who], strict=True)) for who in against}
    for who, of in ratios.items():
        say(f"{given}: {who} / ours {statistics.median(of):.2f} ({of[0]:.2f} to {of[-1]:.2f})")
    say(f"{given}: {statistics.median(shares):.0%} ({shares[0]:.0%} to {shares[-1]:.0%}) of the bare product, "
        f"for {gflop:.0f} GFLOP")
    return found | {"ratios": {who: _spread(of) for who, of in ratios.items()}, "of_matmul": _spread(shares)}


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
        serve(arguments.folder, arguments.only, rows, tokens, settings_of(arguments.sets))
        return
    results = [compare(arguments.folder, given, [name for name in arguments.against.split(",") if name], arguments.sets,
                       arguments.rounds, arguments.steps, lambda text: print(text, flush=True))
               for given in arguments.shapes.split(",")]
    print(json.dumps({"benchmark": "step_time", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
