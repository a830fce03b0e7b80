"""How much memory one optimiser step takes: edge_sleep beside Hugging Face + PEFT + bitsandbytes and TRL.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.peak /tmp/shape --against hf,trl

NF4 with double quantisation, bfloat16, LoRA r=4 on q_proj and v_proj, checkpointing per block, half of the tokens
supervised; the same words for all. Each contender runs in a process of its own and takes two steps; the second, with AdamW's
moments there, is measured. Peak = bytes of the model's tensors and of the optimiser's moments, plus the highest sum of
the allocations that PyTorch's profiler logs within the step. RSS is the process's peak less what the imports took.
`hf` is transformers.Trainer (full logits) without PEFT's float32 copy of the embedding; `trl` is SFTTrainer as it comes.
The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_sleep.benchmarks.contenders import CONTENDERS, Gate, asked, settings_of, settled
from edge_sleep.benchmarks.loading import status

from edge_sleep.device import environment

SHAPES = ((1, 512), (4, 512), (4, 1024))


class Peak:
    """The highest sum of allocations in a window of work, in bytes above what was there when it began."""

    bytes = 0

    @contextmanager
    def window(self) -> Iterator[None]:
        import torch

        if torch.cuda.is_available():
            settled()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            yield
            settled()
            self.bytes = max(self.bytes, torch.cuda.max_memory_allocated() - before)
            return
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            yield
        held = 0
        events = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
        for event in sorted(events, key=lambda event: event.start_ns()):
            held += event.nbytes()
            self.bytes = max(self.bytes, held)


def resident(model: Any, moments: int = 2) -> int:
    """Bytes of every tensor of the model once, its quantisation states, and AdamW's moments of what trains."""
    seen: dict[int, int] = {}
    trained = 0
    for tensor in [*model.parameters(), *model.buffers()]:
        seen[tensor.data_ptr()] = tensor.nbytes
        state = getattr(tensor, "quant_state", None)
        if state is not None:
            for part in state.as_dict(packed=True).values():
                seen[part.data_ptr()] = part.nbytes
        trained += tensor.nbytes if tensor.requires_grad else 0
    return sum(seen.values()) + moments * trained


class Window(Gate):
    """The second step, with AdamW's moments there, is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.peak, self.steps = Peak(), 0
        self._open: Any = None

    def enter(self, *_: Any) -> None:
        if self.steps == 1:
            self._open = self.peak.window()
            self._open.__enter__()

    def leave(self, loss: float | None = None) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None
        self.steps += 1
        super().leave(loss)


def measure(folder: str, who: str, rows: int, tokens: int, settings: dict) -> dict:
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401

    before = status("VmRSS")
    gate = Window()
    model = CONTENDERS[who](folder, rows, tokens, asked(who, settings, 2), gate)
    standing, window, losses = resident(model), gate.peak.bytes, gate.losses
    return {"who": who, "rows": rows, "tokens": tokens, "settings": settings, "peak_mebibytes": (standing + window) / 2**20,
            "standing_mebibytes": standing / 2**20, "step_mebibytes": window / 2**20, "rss_mebibytes": status("VmHWM") - before,
            "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--against", default="hf", help="hf, trl (pip install trl), both with a comma, or nothing")
    parser.add_argument("--shapes", default=",".join(f"{rows}x{tokens}" for rows, tokens in SHAPES))
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE",
                        help="settings of ours: those of train, and dtype, rank, targets, embedding")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settings = settings_of(arguments.sets)
    shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes.split(",")]
    if arguments.only:
        print(json.dumps(measure(arguments.folder, arguments.only, *shapes[0], settings)))
        return
    results = []
    for rows, tokens in shapes:
        for who in ["ours", *filter(None, arguments.against.split(","))]:
            command = [sys.executable, "-m", "edge_sleep.benchmarks.peak", arguments.folder, "--only", who,
                       "--shapes", f"{rows}x{tokens}", *(part for entry in arguments.sets for part in ("--set", entry))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print("{rows}x{tokens:<5} {who:5} peak {peak_mebibytes:6.0f} MiB ({standing_mebibytes:.0f} standing), "
                  "RSS {rss_mebibytes:6.0f} MiB, losses {losses}".format(**results[-1]), flush=True)
    print(json.dumps({"benchmark": "peak", "results": results, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
