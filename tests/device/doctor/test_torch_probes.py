"""torch, GPU and the 4-bit layer: what their probes answer, as lines."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device.doctor import torch_probes
from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import try_code
from tests.device.doctor.machines import NF4, ORIN, TORCH, attempt, board

NODE = (Path("/dev/nvidia0"),)


@pytest.mark.parametrize("facts, place, status, words", [
    (TORCH, Board(nodes=NODE), "warn", "does not use it: it is a CPU build"),
    (TORCH | {"cuda": "13.0"}, Board(nodes=NODE), "warn", "it sees no CUDA device"),
    (TORCH | {"cuda": "13.0", "why_no_gpu": "CUDA initialization: The NVIDIA driver on your system is too old"}, Board(nodes=NODE),
     "warn", "driver on your system is too old"),
    (TORCH, board(), "warn", "no GPU node"), (TORCH, Board(), "skip", "nights run on the CPU"),
    ({}, Board(nodes=NODE), "skip", "torch does not run"), ({}, Board(), "skip", "torch does not run"),
    (ORIN, board(nodes=NODE), "ok", "Orin (sm_87): a gradient came out right; CUDA counts 3.0 of 7.0 GiB as free")])
def test_gpu(facts: dict, place: Board, status: str, words: str) -> None:
    line = torch_probes.check_gpu(facts, place, attempt())
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status == "warn"), line


@pytest.mark.parametrize("place, hint", [(board(), True), (Board(), False)])
def test_a_gpu_that_cannot_multiply_fails(place: Board, hint: bool) -> None:
    line = torch_probes.check_gpu(ORIN, place, attempt(gpu="killed by SIGSEGV while multiplying on Orin"))
    assert (line.status, line.found) == ("fail", "killed by SIGSEGV while multiplying on Orin")
    assert ("NvMap error 12" in line.do) == hint


@pytest.mark.parametrize("answer, status, words", [
    (NF4, "ok", "0.50: an NF4 layer ran forward and backward on the CPU, off by 9%"),
    (NF4 | {"forward": 1.4}, "fail", "off by 140% forward"), (NF4 | {"backward": float("nan")}, "fail", "nan% backward"),
    ("killed by SIGSEGV while running a 4-bit layer backward on Orin", "fail", "backward on Orin"),
    ("no answer in 180 s while quantising to NF4 on Orin", "fail", "no answer in 180 s while quantising")])
def test_nf4(answer, status: str, words: str) -> None:
    line = torch_probes.check_nf4(True, attempt(nf4=answer))
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status == "fail"), line


def test_without_torch_the_rest_is_not_waited_for() -> None:
    def refuse(*_):
        raise AssertionError("nothing to try")
    assert torch_probes.check_nf4(False, refuse).status == torch_probes.check_libraries(False, refuse).status == "skip"


FAKES = "import sys, types\nfake = types.ModuleType('bitsandbytes')\nfake.__version__ = '0'\nfake.nn = types.SimpleNamespace()\n" \
        "import torch, time, os\n{}\nsys.modules['bitsandbytes'] = fake\n"
LAYER = "class Layer(torch.nn.Linear):\n    def __init__(self, *a, compute_dtype, quant_type, **k): super().__init__(*a, **k)\n" \
        "    def forward(self, x):\n        {}\nfake.nn.Linear4bit = Layer"


@pytest.mark.parametrize("does, says", [
    ("os.kill(os.getpid(), 11)", "killed by SIGSEGV while running a 4-bit layer forward on "),
    ("time.sleep(600)", "no answer in 15 s while running a 4-bit layer forward on "),
    ("raise RuntimeError('named symbol not found')", "RuntimeError: named symbol not found while running a 4-bit layer forward on ")])
def test_where_a_4_bit_layer_dies_is_told(does: str, says: str) -> None:
    facts, problem = try_code(FAKES.format(LAYER.format(does)) + torch_probes.NF4_PROBE, 15.0 if "sleep" in does else 60.0)
    assert facts is None and problem.startswith(says), problem
