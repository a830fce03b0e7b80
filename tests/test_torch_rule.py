"""A machine without a GPU is told before gigabytes of CUDA come, never after."""
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "torch.py"


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("torch_rule", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("TORCH", "TORCH_INDEX", "TORCH_CUDA", "TORCH_TARGET", "TORCH_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    module.ran = []
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: module.ran.append(command))
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(module, "has_gpu", lambda: False)
    monkeypatch.setattr(module, "would_install", lambda *_: module.found)
    return module


def _items(*names: str) -> list[dict]:
    return [{"metadata": {"name": name, "version": "1.0"}} for name in names]


CUDA = _items("torch", "nvidia-cudnn-cu13", "nvidia_cublas".replace("_", "-"), "triton", "cuda-bindings", "sympy")


def test_stops_before_cuda(rule, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    rule.found = CUDA
    monkeypatch.setenv("TORCH_TARGET", "test")
    assert rule.main() == 2
    said = capsys.readouterr().err
    assert "4 CUDA packages" in said and "nvidia-cudnn-cu13 1.0" in said
    assert "make test TORCH_INDEX=" in said and "TORCH_CUDA=yes" in said
    assert rule.ran == []
    monkeypatch.setenv("TORCH_COMMAND", "docker build --build-arg")
    assert rule.main() == 2
    assert "docker build --build-arg TORCH_INDEX=" in capsys.readouterr().err


@pytest.mark.parametrize("gpu, variable", [(True, None), (False, "yes")])
def test_goes_ahead_with_a_gpu_or_when_told(rule, gpu: bool, variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    rule.found = CUDA
    monkeypatch.setattr(rule, "has_gpu", lambda: gpu)
    if variable:
        monkeypatch.setenv("TORCH_CUDA", variable)
    assert rule.main() == 0 and len(rule.ran) == 1


def test_a_cpu_build_goes_ahead_from_the_named_index(rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rule.found = _items("torch", "sympy")
    monkeypatch.setenv("TORCH", "torch==2.13.0")
    monkeypatch.setenv("TORCH_INDEX", "https://wheels.invalid/cpu")
    assert rule.main() == 0
    assert rule.ran[0][-3:] == ["--index-url", "https://wheels.invalid/cpu", "torch==2.13.0"]
    assert rule.ran[0][0] == sys.executable


def test_what_is_there_stays(rule) -> None:
    rule.found = []
    assert rule.main() == 0 and rule.ran == []
