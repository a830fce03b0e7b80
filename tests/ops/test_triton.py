"""Triton's versions under its interpreter, in a process of their own: it is chosen when Triton is imported."""
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fetched import fetched

ROOT = Path(__file__).parent.parent.parent
CODE = """
import json, math, torch
from importlib import import_module
from pathlib import Path
from edge_sleep.ops import compiled, fused, loss, trial
compiled.library = lambda kernel, device: import_module(
    f"edge_sleep.kernels.{Path(compiled.KERNELS[kernel][0]).parent.name}.in_triton")
empty_like = torch.empty_like
torch.empty_like = lambda *given, **more: empty_like(*given, **more).fill_(math.nan)
worst = {}
for kernel in ("rms_norm", "swiglu", "softmax_tile"):
    for dtype in trial.ALLOWED:
        for number, (rows, width) in enumerate(((1, 8), (3, 37), (2, 1100))):
            for got, want in trial._TRIALS[kernel](torch.Generator().manual_seed(number), "cpu", dtype, rows, width):
                off = trial._off(got, want) / trial.ALLOWED[dtype]
                name = f"{kernel} {dtype}"
                worst[name] = trial._larger(worst.get(name, 0.0), off)
tile = torch.randn(2, 40)
tile[0, 7] = math.nan
sums = loss.Sums(torch.full((2, 1), -math.inf), torch.zeros(2, 1), torch.zeros(2, 1))
fused.softmax_tile(tile, torch.tensor([1, 2]), 0, sums, loss.Space(tile, loss.DenseHead(tile), 2), False)
print(json.dumps({"worst": worst, "nan stays": [bool(sums.total[0].isnan()), bool(sums.total[1].isfinite())]}))
"""


@pytest.mark.night
@pytest.mark.timeout(400)
def test_value_and_every_gradient_under_the_interpreter(tmp_path):
    path = [str(ROOT)]
    if importlib.util.find_spec("triton") is None:
        path.append(str(fetched(tmp_path / "triton", "triton==3.8.0")))
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(path)})
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["worst"]) == 9 and found["nan stays"] == [True, True]
    assert not {name: off for name, off in found["worst"].items() if not off <= 1}
