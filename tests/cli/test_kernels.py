"""`edge-sleep kernels`: what each operation uses here and why; what cannot be compiled says what to do."""
import json

import pytest

from edge_sleep.cli.main import run
from edge_sleep.device.doctor import check
from edge_sleep.errors import Exit
from edge_sleep.ops import build, compiled, proof, registry


def answer(capsys, *words):
    code = run(["kernels", *words, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_list_names_every_operation_with_its_reason(capsys, monkeypatch):
    monkeypatch.setattr(registry.proof, "why_not", lambda kernel, device, dtype: f"compiled for a GPU, not for {device}")
    code, found = answer(capsys, "list")
    assert code == 0 and {entry["op"] for entry in found["ops"]} == set(registry.OPS)
    assert all(entry["reason"] for entry in found["ops"]) and found["tried"] == []
    of = {entry["op"]: entry for entry in found["ops"]}
    assert of["nf4"]["implementation"] == "bitsandbytes" and "not kernel: compiled for a GPU" in of["rms_norm"]["reason"]
    assert run(["kernels", "list"]) == 0 and "rms_norm" in capsys.readouterr().out


def test_build_for_no_gpu_asks_which(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, found = answer(capsys, "build")
    assert code == Exit.USAGE and "--arch sm_87" in found["error"]["do"]


def test_build_without_nvcc_is_a_missing_device(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.os, "access", lambda *_: False)
    code, found = answer(capsys, "build", "--arch", "sm_87")
    assert code == Exit.DEVICE and "no nvcc" in found["error"]["message"]


def test_build_says_what_each_function_takes(capsys, monkeypatch, tmp_path):
    made = compiled.Built("nf4", "sm_87", tmp_path / "x.so", "0" * 64, "nvcc 12.6.68", (compiled.Usage("f", 34, 0), compiled.Usage("g", 16, 8)))
    asked = []
    monkeypatch.setattr(build, "build", lambda *given: asked.append(given) or [made])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, found = answer(capsys, "build", "--arch", "sm_87, sm_110", "--jobs", "2")
    assert code == 0 and asked == [(["sm_87", "sm_110"], 2)] and found["kernels"][0]["usage"][0]["registers"] == 34
    assert run(["kernels", "build", "--arch", "sm_87"]) == 0
    assert "34" in (out := capsys.readouterr().out) and "8 B" in out


def test_a_torch_that_does_not_load_stops_no_build(capsys, monkeypatch):
    """Where an image is built there is no driver, and a Jetson's torch may not load without one."""
    monkeypatch.setattr(build, "build", lambda *given: [])
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    code, found = answer(capsys, "build", "--arch", "sm_87")
    assert code == 0 and found == {"kernels": [], "tried": []}


def test_what_was_tried_is_not_tried_again_by_list(monkeypatch, tmp_path, capsys):
    tried = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(proof, "identity", lambda kernel: {"code": kernel})
    monkeypatch.setattr(check, "try_code", lambda code: tried.append(code) or (None, "no answer in 180 s"))
    from edge_sleep.cli import kernels
    from edge_sleep.ops.registry import Site
    monkeypatch.setattr(kernels, "_site", lambda: Site("cuda", "bfloat16"))
    code, found = answer(capsys, "list")
    assert code == 0 and len(tried) == 1 + len(compiled.KERNELS) and all("no answer in 180 s" in entry["found"] for entry in found["tried"])
    assert {entry["op"]: entry["implementation"] for entry in found["ops"]}["nf4"] == "pytorch"
    answer(capsys, "list")
    assert len(tried) == 1 + len(compiled.KERNELS)


@pytest.mark.parametrize("words", [["build", "--jobs", "0"], ["list", "--arch", "sm_87"]])
def test_what_is_not_an_option(words, capsys):
    assert run(["kernels", *words]) == Exit.USAGE
