"""What packing is worth on real transcripts: the same lesson, short examples sharing rows against padded ones, in turns.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    EDGE_SLEEP_SAGE_CORPUS=DIR python -m edge_sleep.benchmarks.packing /tmp/shape

Transcripts are read, judged and made into a lesson as a night does it; some dozens of its examples, drawn by a seed, are
trained on for `--rounds` turns of `--steps` steps each way. Tokens per second count the examples' own tokens, never padding.
The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.data import tonight
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.dataset import collate, tokenise_all
from edge_sleep.data.ingest import ingest
from edge_sleep.device import detect, environment
from edge_sleep.model import base as base_model
from edge_sleep.model.identity import own


def lesson(folder: str, corpus: Path, settings: config.Config) -> list[Any]:
    """The examples of one night on `corpus`."""
    place = base_model.resolve(folder)
    with tempfile.TemporaryDirectory() as home, Buffer(Path(home) / "experience.db") as buffer:
        ingest([corpus], buffer, companion=settings.companion, quality=settings.quality, salience=settings.salience,
               data=settings.data, own=own(place))
        new, earlier, _ = tonight.choose(buffer, settings)
        return tonight.compose(new, earlier, settings, base_folder=place.folder, parent=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--corpus", type=Path, default=os.environ.get("EDGE_SLEEP_SAGE_CORPUS"))
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--micro-batch", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.corpus is None:
        raise SystemExit("name the transcripts: --corpus DIR, or EDGE_SLEEP_SAGE_CORPUS")
    import torch

    from edge_sleep.model import adapter
    from edge_sleep.train import blocks, objective

    settings = config.load(None, [f"companion.model={arguments.folder}"])
    made = lesson(arguments.folder, arguments.corpus, settings)
    device = detect.choose()
    loaded = base_model.load(base_model.Base(base_model.resolve(arguments.folder), "", device.compute_dtype), device)
    objective.prepare_for_training(loaded.model, True)
    model = adapter.attach_new(loaded.model, settings.lora, 0).train()
    blocks.make_lean(model, checkpointing=True)
    loss_of, _ = objective.chunked_objective(model, settings.train.loss_chunk)
    examples, _ = tokenise_all(loaded.tokenizer, random.Random(0).sample(made, min(arguments.examples, len(made))),
                               settings.companion.system_prompt, settings.data.max_tokens)
    examples.sort(key=lambda example: len(example.ids))
    size = arguments.micro_batch
    batches = [examples[start:start + size] for start in range(0, len(examples) - size + 1, size)]
    random.Random(1).shuffle(batches)

    def turn(packed: bool, number: int) -> tuple[float, int, int]:
        """(seconds, tokens of examples, tokens computed) of some steps, the same batches for both ways."""
        seconds, own_tokens, computed = 0.0, 0, 0
        for step in range(arguments.steps):
            batch = batches[(number * arguments.steps + step) % len(batches)]
            tensors = collate(batch, loaded.tokenizer.pad_token_id, packed)
            began = time.monotonic()
            loss_of(model, tensors, sum(example.weight * example.supervised for example in batch)).backward()
            model.zero_grad()
            seconds += time.monotonic() - began
            own_tokens += sum(len(example.ids) for example in batch)
            computed += tensors["input_ids"].numel()
        return seconds, own_tokens, computed

    torch.manual_seed(0)
    turn(True, 0)                                       # to warm up
    rows = []
    for number in range(arguments.rounds):
        ways = {"packed": turn(True, number), "padded": turn(False, number)}
        rows.append({way: {"tokens_per_second": own_tokens / seconds, "padding": 1 - own_tokens / computed}
                     for way, (seconds, own_tokens, computed) in ways.items()})
        print(f"round {number + 1}: " + ", ".join(
            f"{way} {row['tokens_per_second']:.0f} tokens/s ({row['padding']:.0%} padding)" for way, row in rows[-1].items()),
            flush=True)
    ratios = [row["packed"]["tokens_per_second"] / row["padded"]["tokens_per_second"] for row in rows]
    print(f"packed / padded: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(json.dumps({"benchmark": "packing", "rows": rows, "ratio": statistics.median(ratios), "low": min(ratios),
                      "high": max(ratios), "examples": len(examples), "environment": environment.describe()}))


if __name__ == "__main__":
    main()
