"""The kernels' benchmark: what runs here is timed, what does not is named, and the last line is the document."""
import json
import subprocess
import sys

import pytest
import torch


@pytest.mark.long
def test_what_runs_is_timed_and_what_does_not_is_named():
    command = [sys.executable, "-m", "edge_sleep.benchmarks.kernels", "--tokens", "8", "--hidden", "64", "--intermediate", "96",
               "--vocabulary", "300", "--rounds", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    ran = {(row["op"], row["who"]): row for row in found["results"] if "not_run" not in row}
    assert {op for op, _ in ran} == {"nf4", "rms_norm", "swiglu", "rope", "softmax_tile", "loss_head"}
    assert {("nf4", "bitsandbytes"), ("nf4", "pytorch"), ("rms_norm", "pytorch"), ("loss_head", "formula")} <= set(ran)
    assert all(0 < row["seconds_p20"] <= row["seconds_p50"] <= row["seconds_p80"] for row in ran.values())
    if not torch.cuda.is_available():
        missing = {row["who"]: row["not_run"] for row in found["results"] if "not_run" in row}
        assert set(missing) == {"kernel", "liger", "unsloth"} and set(missing.values()) == {"no CUDA GPU"}
