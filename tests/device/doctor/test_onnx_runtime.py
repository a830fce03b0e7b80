"""onnxruntime: what its probe answers, as a line; a crash of it costs the examination nothing."""
from __future__ import annotations

import base64
import re

import pytest

from edge_sleep.device.doctor.check import try_code
from edge_sleep.device.doctor.onnx_runtime import ONNX_PROBE, check_onnx
from tests.device.doctor.machines import ONNX, attempt

FAKE = "import sys, types, importlib.machinery\nfake = types.ModuleType('onnxruntime')\n" \
       "fake.__spec__ = importlib.machinery.ModuleSpec('onnxruntime', None)\nsys.modules['onnxruntime'] = fake\n{}\n"


@pytest.mark.parametrize("answer, status, words", [
    (ONNX, "ok", "1.32.0: a product came out right"), (ONNX | {"adapters": False}, "warn", "knows no adapters"),
    ("killed by SIGSEGV while importing onnxruntime", "warn", "killed by SIGSEGV while importing")])
def test_lines(answer, status: str, words: str) -> None:
    line = check_onnx(attempt(onnx=answer))
    assert (line.name, line.status, words in line.found, bool(line.do)) == ("onnxruntime", status, True, status == "warn"), line


def test_where_it_is_not_installed_there_is_no_line() -> None:
    facts, problem = try_code("import importlib.util\nimportlib.util.find_spec = lambda name: None\n" + ONNX_PROBE, 30.0)
    assert (facts, problem) == ({"version": None}, "") and check_onnx(attempt(onnx=facts)) is None


def test_where_it_dies_is_told() -> None:
    dies = "import os\nclass InferenceSession:\n    def __init__(self, *_, **__): os.kill(os.getpid(), 11)\nfake.InferenceSession = InferenceSession"
    facts, problem = try_code(FAKE.format(dies) + ONNX_PROBE, 30.0)
    assert facts is None and problem == "killed by SIGSEGV while running a graph on the CPU"


def test_the_graph_is_a_product() -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(base64.b64decode(re.search(r'b64decode\("([^"]+)"', ONNX_PROBE)[1]))
    onnx.checker.check_model(graph)
    assert [(node.op_type, list(node.input), list(node.output)) for node in graph.graph.node] == [("MatMul", ["x", "x"], ["y"])]


def test_this_machines_own() -> None:
    pytest.importorskip("onnxruntime")
    facts, problem = try_code(ONNX_PROBE, 60.0)
    assert facts is not None and facts["adapters"], problem
