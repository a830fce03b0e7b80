"""What loading a base in 4-bit costs: time and memory, ours beside transformers with bitsandbytes.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.loading /tmp/shape

Each load runs in a process of its own, the libraries imported before the clock starts: `transformers` quantises as
`from_pretrained` does, `first` quantises layer by layer and fills the cache, `again` reads the cache. Peak and resident
memory are above what was resident before loading. Rounds alternate; the last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_sleep.device import detect, environment
from edge_sleep.model import base as base_model

WAYS = ("transformers", "first", "again")
TIME_SHARE, PEAK_SHARE = 0.2, 1.15         # the second night's load, of transformers' and of its own resident size


def status(field: str) -> float:
    """A field of /proc/self/status, in MiB. A peak is VmHWM: getrusage's is never less than what the parent held at the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measure(folder: str, way: str, cache: Path, dtype: str = "bfloat16") -> dict:
    import accelerate  # noqa: F401
    import bitsandbytes  # noqa: F401
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place = base_model.resolve(folder)
    AutoModelForCausalLM._model_mapping[type(AutoConfig.from_pretrained(place.folder))]      # imports the architecture
    base = base_model.Base(place, "benchmark", dtype, cache)
    before, began, processor = status("VmRSS"), time.monotonic(), time.process_time()
    if way == "transformers":
        kept = base_model._with_transformers(base, detect.choose(), getattr(torch, dtype))
        how = way
    else:
        kept = base_model.load(base, detect.choose())
        how = kept.how
    assert how == {"transformers": "transformers", "first": "quantised", "again": "cache"}[way], how
    return {"way": way, "seconds": time.monotonic() - began, "processor_seconds": time.process_time() - processor,
            "resident_mebibytes": status("VmRSS") - before, "peak_mebibytes": status("VmHWM") - before, "kept": bool(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--only", nargs=2, metavar=("WAY", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.folder, arguments.only[0], Path(arguments.only[1]), arguments.dtype)))
        return
    rows = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for way in WAYS:
                command = [sys.executable, "-m", "edge_sleep.benchmarks.loading", arguments.folder, "--dtype", arguments.dtype,
                           "--only", way, cache]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print("{way:13} {seconds:7.2f} s, {processor_seconds:7.2f} s processor; resident {resident_mebibytes:6.0f} MiB, "
                      "peak {peak_mebibytes:6.0f} MiB".format(**rows[-1]), flush=True)
    of = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    times = [again["seconds"] / theirs["seconds"] for again, theirs in zip(of["again"], of["transformers"], strict=True)]
    peaks = [row["peak_mebibytes"] / row["resident_mebibytes"] for row in of["again"]]
    print(f"again / transformers: {statistics.median(times):.3f} of the time ({min(times):.3f} to {max(times):.3f}); "
          f"peak / resident: {statistics.median(peaks):.2f}")
    print(json.dumps({"benchmark": "loading", "rows": rows, "time_ratio": statistics.median(times),
                      "peak_ratio": statistics.median(peaks), "targets": {"time": TIME_SHARE, "peak": PEAK_SHARE},
                      "environment": environment.describe()}))


if __name__ == "__main__":
    main()
