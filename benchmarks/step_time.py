"""How fast one optimiser step is: edge_sleep beside Hugging Face + PEFT + bitsandbytes, in turns.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.step_time /tmp/shape --shapes 1x512,1x1024

The same model, words and adapter as in `peak`, checkpointing per block for both. Each turn is a process of its own: one step
to warm up, then `--steps` timed ones, of which the median counts. The ratio is of neighbours in time; its interval is the
range over the rounds. `matmul` is the bare bfloat16 product of the shape's largest layer in the same process, in
GFLOP per second: what the step's own FLOPs are held against. The last line is one JSON document.
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

from edge_sleep.benchmarks.peak import TARGETS, batch_of, stock, words

from edge_sleep.device import environment
from edge_sleep.model.shape import Shape, read


def ours(folder: str, rows: int, tokens: int, steps: int, chunk: int) -> list[float]:
    from edge_sleep.config import Lora, Train
    from edge_sleep.data.dataset import TokenisedExample
    from edge_sleep.device import detect
    from edge_sleep.model import adapter
    from edge_sleep.model import base as base_model
    from edge_sleep.train import loop, objective

    loaded = base_model.load(base_model.Base(base_model.resolve(folder), "", "bfloat16"), detect.choose())
    train = Train(epochs=1 + steps, micro_batch=rows, learning_rate=1e-4, loss_floor=0, loss_chunk=chunk)
    objective.prepare_for_training(loaded.model, True)
    model = adapter.attach_new(loaded.model, Lora(rank=4, alpha=8, targets=TARGETS), seed=0)
    loss_of, _ = objective.chunked_objective(model, chunk)
    examples = [TokenisedExample(tuple(row), tokens // 2, tokens, 1.0) for row in words(rows, tokens, len(loaded.tokenizer))]
    ends: list[float] = []
    loop.train(model, examples, train, pad=0, loss_of=loss_of, may_step=lambda seconds: None, save=lambda *_: None,
               on_step=lambda progress, planned, rate: ends.append(progress.seconds), monotonic=time.monotonic, state_every=1e9)
    return [end - begin for begin, end in zip(ends, ends[1:], strict=False)]


def hf(folder: str, rows: int, tokens: int, steps: int, chunk: int) -> list[float]:
    import torch
    from transformers import AutoTokenizer

    model = stock(folder)
    model.train()
    batch = batch_of(rows, tokens, len(AutoTokenizer.from_pretrained(folder)))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, foreach=False)
    taken = []
    for _ in range(1 + steps):
        began = time.monotonic()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss.item()
        taken.append(time.monotonic() - began)
    return taken[1:]


CONTENDERS: dict[str, Callable[[str, int, int, int, int], list[float]]] = {"ours": ours, "hf": hf}


def step_gflop(shape: Shape, rows: int, tokens: int) -> float:
    """Forward, its repetition, the backward pass to the activations; the head for the supervised half only."""
    return rows * tokens * (6 * shape.linear_parameters + 2 * shape.vocabulary * shape.hidden) / 1e9


def matmul_gflops(shape: Shape, rows: int) -> float:
    import torch

    left = torch.randn(rows, shape.hidden, dtype=torch.bfloat16)
    right = torch.randn(shape.intermediate, shape.hidden, dtype=torch.bfloat16)
    torch.nn.functional.linear(left, right)
    began, times = time.monotonic(), 0
    while time.monotonic() - began < 1.0:
        torch.nn.functional.linear(left, right)
        times += 1
    return times * 2 * rows * shape.hidden * shape.intermediate / (time.monotonic() - began) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--shapes", default="1x512,1x1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=32, help="supervised tokens of our loss head at a time")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        rows, tokens = map(int, arguments.shapes.split("x"))
        seconds = CONTENDERS[arguments.only](arguments.folder, rows, tokens, arguments.steps, arguments.chunk)
        shape = read(Path(arguments.folder))
        print(json.dumps({"seconds": statistics.median(seconds), "matmul_gflops": matmul_gflops(shape, rows * tokens)}))
        return
    results = []
    for given in arguments.shapes.split(","):
        rows, tokens = map(int, given.split("x"))
        gflop = step_gflop(read(Path(arguments.folder)), rows, tokens)
        turns: dict[str, list[dict]] = {who: [] for who in CONTENDERS}
        for _ in range(arguments.rounds):
            for who in CONTENDERS:
                command = [sys.executable, "-m", "edge_sleep.benchmarks.step_time", arguments.folder, "--only", who,
                           "--shapes", given, "--steps", str(arguments.steps), "--chunk", str(arguments.chunk)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                turns[who].append(json.loads(done.stdout.splitlines()[-1]))
        ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in zip(turns["ours"], turns["hf"], strict=True)]
        share = [gflop / turn["seconds"] / turn["matmul_gflops"] for turn in turns["ours"]]
        results.append({"shape": given, "chunk": arguments.chunk, "turns": turns, "hf_over_ours": statistics.median(ratios),
                        "low": min(ratios), "high": max(ratios), "of_matmul": statistics.median(share)})
        print(f"{given}: ours {statistics.median(turn['seconds'] for turn in turns['ours']):.2f} s, hf "
              f"{statistics.median(turn['seconds'] for turn in turns['hf']):.2f} s; hf / ours {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f}); {statistics.median(share):.0%} of the bare matmul", flush=True)
    print(json.dumps({"benchmark": "step_time", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
