"""A base whose 4-bit layers run without bitsandbytes' code is the same base: weights, answers, nights."""
import json

import pytest
import torch
from bitsandbytes import functional
from bitsandbytes.autograd import _functions
from bitsandbytes.nn import Linear4bit

from edge_sleep.device import detect
from edge_sleep.device.detect import Device
from edge_sleep.model import base, four_bit
from edge_sleep.ops import nf4, proof
from tests import micro

CPU = Device("cpu", "cpu", "float32", "of a test")


@pytest.fixture
def without(monkeypatch):
    """This machine's CPU stands for a GPU on which none of bitsandbytes' code runs, once weights are quantised."""
    monkeypatch.setattr(proof, "library_fails", lambda device: "Error named symbol not found")
    nf4._chosen.cache_clear()

    def gone(*_, **__):
        raise AssertionError("bitsandbytes' code was called")

    def broken():
        for module in (functional, _functions.F):
            monkeypatch.setattr(module, "dequantize_4bit", gone)
        for name in ("matmul_4bit", "MatMul4Bit"):
            monkeypatch.setattr(_functions, name, gone)
        monkeypatch.setattr("bitsandbytes.matmul_4bit", gone)

    yield broken
    nf4._chosen.cache_clear()


def loaded(folder):
    return base.load(base.Base(base.resolve(str(folder)), "0" * 64, "float32"), CPU)


def test_the_same_weights_and_the_same_words(tmp_path, request):
    folder = micro.make_model(tmp_path / "model")
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        want = loaded(folder)
        logits = want.model(ids).logits
        broken = request.getfixturevalue("without")
        got = loaded(folder)
        broken()
        assert "without bitsandbytes' code: plain PyTorch" in got.how and "named symbol not found" in got.how
        # The same dense weight through the same product.
        assert torch.equal(got.model(ids).logits, logits)
    for one, other in zip(want.model.modules(), got.model.modules(), strict=True):
        if isinstance(one, Linear4bit):
            assert torch.equal(one.weight.data, other.weight.data) and one.weight.quant_state == other.weight.quant_state


def test_the_lean_blocks_put_back_what_they_found(tmp_path, without, monkeypatch):
    """Where the whole would speak otherwise, a layer is again what it was: without bitsandbytes' code."""
    from edge_sleep.config import Lora
    from edge_sleep.model import adapter
    from edge_sleep.train import blocks
    made = loaded(micro.make_model(tmp_path / "model"))
    model = adapter.attach_new(made.model, Lora(rank=2, alpha=4), seed=0)
    without()
    before = {id(module): module.__dict__.get("forward") for module in model.modules()}
    assert sum(forward is not None for forward in before.values()) == 14
    assert any(swap.replaced for swap in blocks.make_lean(model, checkpointing=True))
    blocks._put_back(model)
    assert {id(module): module.__dict__.get("forward") for module in model.modules()} == before
    ids = torch.arange(1, 20)[None]
    model(ids).logits.sum().backward()                 # PEFT's own layers over ours
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


@pytest.mark.night
def test_a_whole_night_without_it(tmp_path, without):
    model, sessions = micro.make_model(tmp_path / "model"), tmp_path / "sessions"
    micro.write_talk(sessions)
    quantise, dequantise = functional.quantize_4bit, nf4.with_bitsandbytes
    without()
    record = micro.night(tmp_path / "home", model, sessions)
    assert record["outcome"] == "promoted", record["reason"]
    assert quantise is functional.quantize_4bit and dequantise is nf4.with_bitsandbytes


GOOD = {"by": "kernel", "forward": 0.09, "backward": 0.09}


@pytest.mark.parametrize("answer, taken", [((GOOD, ""), True), ((None, "exit code 1"), False), ((GOOD | {"backward": float("nan")}, ""), False),
                                           ((GOOD | {"forward": 0.9}, ""), False)])
def test_a_gpu_is_taken_where_a_layer_ran_without_the_library(monkeypatch, tmp_path, answer, taken):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(proof, "identity", lambda kernel: {"code": kernel} if kernel == proof.LIBRARY else None)
    monkeypatch.setattr(detect, "_found", lambda cpuinfo: Device("gpu", "cuda", "bfloat16", "Orin multiplies bfloat16 natively"))
    asked = []

    def attempt(code, *seconds):
        asked.append(code)
        return answer if code == four_bit._PROBE else (None, "Error named symbol not found at line 62 in file ops.cu")

    found, order = detect.tried(cpuinfo=tmp_path / "none", attempt=attempt, heard=four_bit.heard)
    assert (found.kind == "gpu") is taken and asked[-1] == four_bit._PROBE
    assert "named symbol not found" in order[0].reason and order[0].taken is taken
    assert proof.known(proof.LIBRARY, {"code": proof.LIBRARY}).ok is False
    if taken:
        assert "ran forward and backward by kernel" in order[0].reason


def test_a_library_that_runs_again_is_first_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(proof, "identity", lambda kernel: {"code": kernel} if kernel == proof.LIBRARY else None)
    four_bit.heard(False, "out of memory", lambda code: (None, "out of memory"))
    assert proof.library_fails("cuda") == "out of memory"
    assert four_bit.heard(True, "ran", lambda code: pytest.fail("nothing to try")) is None
    assert proof.library_fails("cuda") is None


def test_the_probe_tells_what_ran(without, capsys):
    without()
    four_bit.probe("cpu")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["by"] == "pytorch" and 0 < found["forward"] < 0.25 and 0 < found["backward"] < 0.25
