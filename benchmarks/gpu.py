"""Memory and speed of a training step on a CUDA GPU: edge_sleep beside Hugging Face, TRL, Liger and Unsloth, in one run.

    pip install trl liger-kernel unsloth
    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.gpu /tmp/shape --against hf,trl,liger,unsloth

NF4 with double quantisation, bfloat16, LoRA r=4 on q_proj and v_proj, half of the tokens supervised, the same words for all.
Each contender runs in a process of its own: two steps to warm up, then `--steps` timed ones with the allocator's peak reset.
`without` is edge_sleep without its compiled kernels (`edge-sleep kernels build` first). Reported are
torch.cuda.max_memory_allocated, tokens per second and the share of the card's bare bfloat16 product, timed in the same process.
A contender that is not installed, or does not run here, is named with its error, never left out in silence. The last line is one
JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks.ceilings import product_flops
from edge_sleep.benchmarks.contenders import CONTENDERS, Gate, asked, settings_of, settled
from edge_sleep.benchmarks.step_time import step_gflop

from edge_sleep.device import environment
from edge_sleep.model.shape import read


class Timed(Gate):
    """Two steps to warm up, then the timed ones, then out."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.seconds, self.taken = steps, list[float](), 0
        self.began = 0.0

    def enter(self, *_: Any) -> None:
        import torch

        if self.taken == 2:
            settled()
            torch.cuda.reset_peak_memory_stats()
        settled()
        self.began = time.monotonic()

    def leave(self, loss: float | None = None) -> None:
        settled()
        self.taken += 1
        if self.taken > 2:
            self.seconds.append(time.monotonic() - self.began)
        super().leave(loss)


def measure(folder: str, who: str, rows: int, tokens: int, steps: int, sets: list[str]) -> dict:
    import torch

    gate = Timed(steps)
    CONTENDERS[who](folder, rows, tokens, asked(who, settings_of(sets), steps + 2), gate)
    peak_bytes = torch.cuda.max_memory_allocated()
    taken = statistics.median(gate.seconds)
    return {"who": who, "rows": rows, "tokens": tokens, "peak_mebibytes": peak_bytes / 2**20, "step_seconds": taken,
            "tokens_per_second": rows * tokens / taken, "losses": gate.losses,
            "of_matmul": step_gflop(read(Path(folder)), rows, tokens) * 1e9 / taken / product_flops(4096, 4096, 4096),
            "card": torch.cuda.get_device_name(0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--against", default="hf", help="any of without, hf, trl, liger, unsloth, with commas")
    parser.add_argument("--shapes", default="1x256,1x512,4x512,4x1024")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE",
                        help="settings of ours, as in peak")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA GPU, and torch sees none; `step_time` and `peak` measure on a CPU")
    if arguments.only:
        rows, tokens = map(int, arguments.shapes.split("x"))
        print(json.dumps(measure(arguments.folder, arguments.only, rows, tokens, arguments.steps, arguments.sets)))
        return
    results = []
    for given in arguments.shapes.split(","):
        for who in ["ours", *(name for name in arguments.against.split(",") if name)]:
            command = [sys.executable, "-m", "edge_sleep.benchmarks.gpu", arguments.folder, "--only", who, "--shapes", given,
                       "--steps", str(arguments.steps), *(part for entry in arguments.sets for part in ("--set", entry))]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                results.append({"who": who, "shape": given, "error": last})
                print(f"{given:8} {who:8} did not run: {last}", flush=True)
                continue
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print("{0:8} {who:8} {peak_mebibytes:7.0f} MiB, {tokens_per_second:8.0f} tokens/s, {of_matmul:.0%} of the bare "
                  "product".format(given, **results[-1]), flush=True)
    print(json.dumps({"benchmark": "gpu", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
