"""What a CPU's process grows by in training steps, freed memory kept or given back: the bounds of train/growth.py.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.growth /tmp/shape --shapes 1x256,1x512,2x512,4x512

Every shape and way is a process of its own: what one leaves in the heap would serve the next. Printed are the step's bytes by
formula (train/anatomy.py), the growth of resident memory over four steps, the bound, and seconds a step.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from edge_sleep.benchmarks.contenders import CONTENDERS, RANK, TARGETS, Gate

from edge_sleep.device import allocator, memory
from edge_sleep.device.shortage import give_back
from edge_sleep.model.shape import read
from edge_sleep.train.anatomy import step_bytes
from edge_sleep.train.growth import grown_bytes

STEPS = 4


class Growth(Gate):
    """Stands between steps: resident memory before the first one, its peak over all, each step's seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.began, self.seconds = 0, 0.0, list[float]()

    def enter(self, *_: object) -> None:
        if len(self.seconds) == STEPS:
            raise StopIteration
        if not self.seconds:
            give_back()
            Path("/proc/self/clear_refs").write_text("5")              # the peak begins anew (proc(5))
            self.before = memory.anonymous_bytes() + memory.shared_bytes()
        self.began = time.monotonic()

    def leave(self, _: float | None = None) -> None:
        self.seconds.append(time.monotonic() - self.began)


def measure(folder: str, shape: str, way: str, dtype: str) -> dict:
    """Growth and time of one shape, `kept` or `given back`, in this process."""
    if way == "given back" and not allocator.give_back_at_once():
        raise SystemExit(f"{allocator.libc()} has no mallopt")
    rows, tokens = map(int, shape.split("x"))
    growth = Growth()
    with suppress(StopIteration):
        CONTENDERS["ours"](folder, rows, tokens, {"dtype": dtype, "steps": STEPS + 1}, growth)
    of = read(Path(folder))
    step = step_bytes(of, dtype=dtype, rank=RANK, targets=TARGETS, micro_batch=rows, tokens=tokens, chunk=512,
                      checkpointing=True)
    bound = grown_bytes(of, step, dtype=dtype, tokens=rows * tokens, give_back=way == "given back")
    return {"shape": shape, "layers": of.layers, "way": way, "dtype": dtype, "step_mebibytes": round(step / 2**20, 1),
            "grown_mebibytes": round((memory.rss_peak_bytes() - growth.before) / 2**20, 1),
            "bound_mebibytes": round(bound / 2**20, 1), "seconds": round(statistics.median(growth.seconds), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--shapes", default="1x256,1x512,2x512,4x256,4x512")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.folder, arguments.shapes, arguments.only, arguments.dtype)))
        return
    for shape in arguments.shapes.split(","):
        for way in ("kept", "given back"):
            command = [sys.executable, "-m", "edge_sleep.benchmarks.growth", arguments.folder, "--shapes", shape,
                       "--dtype", arguments.dtype, "--only", way]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
