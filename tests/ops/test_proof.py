"""A kernel is used where it was proved, on that very GPU; nothing else that is written down lets it in."""
import json

import pytest

from edge_sleep.errors import StorageError
from edge_sleep.ops import compiled, proof, registry
from edge_sleep.ops.proof import Proof, judged
from edge_sleep.ops.registry import Site

GOOD = {"cases": 15, "off": 0.3, "allowed": 1.0, "seconds": {"kernel": 1e-5, "pytorch": 5e-5}}


@pytest.mark.parametrize("change, problem, ok, words", [
    ({}, "", True, "15 cases as the reference, 10 us, PyTorch takes 50"),
    ({"off": 1.01}, "", False, "off by 1 times"), ({"off": float("nan")}, "", False, "off by nan"), ({"off": float("inf")}, "", False, "inf"),
    ({"seconds": {"kernel": 6e-5, "pytorch": 5e-5}}, "", False, "right and slower"),
    ({"seconds": {"kernel": float("nan"), "pytorch": 5e-5}}, "", False, "slower"),
    (None, "killed by SIGABRT while nf4 in torch.float16 on 3 x 37", False, "killed by SIGABRT while nf4")])
def test_the_verdict(change, problem, ok, words):
    found = judged(None if change is None else {**GOOD, **change}, problem)
    assert found.ok is ok and words in found.found


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU by its identity; what a test changes in it is another GPU."""
    of = {"gpu": "Orin", "architecture": "sm_87", "cuda": "12.6", "driver": "L4T", "code": "a" * 64, "torch": "2.8.0"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(proof, "identity", lambda kernel: dict(of) if of else None)
    return of


def test_a_trial_is_written_down_and_found_again(gpu):
    asked = []
    assert proof.why_not("nf4", "cuda", "bfloat16") == "not tried on this GPU yet: `edge-sleep kernels list`"
    assert proof.prove("nf4", lambda code: asked.append(code) or (GOOD, "")).ok
    assert asked == ["from edge_sleep.ops import trial; trial.main('nf4')"]
    assert proof.why_not("nf4", "cuda", "bfloat16") is None
    assert proof.why_not("nf4", "cuda", "float64") == "it knows no float64"
    assert "compiled for a GPU" in proof.why_not("nf4", "cpu", "float32")


def test_all_of_them_can_be_switched_off(gpu, monkeypatch):
    proof.prove("nf4", lambda code: (GOOD, ""))
    monkeypatch.setenv("EDGE_SLEEP_KERNELS", "none")
    assert "switched off" in proof.why_not("nf4", "cuda", "bfloat16") and compiled.places() == [compiled.users_cache()]


@pytest.mark.parametrize("key, value", [("gpu", "Thor"), ("code", "b" * 64), ("driver", "another"), ("torch", "2.9.0"), ("cuda", "13.0")])
def test_a_proof_holds_for_what_it_was_made_on(gpu, key, value):
    proof.prove("nf4", lambda code: (GOOD, ""))
    gpu[key] = value
    assert "not tried on this GPU yet" in proof.why_not("nf4", "cuda", "bfloat16")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ok": true}', '{"ok": true, "found": "x", "identity": {}}'])
def test_a_damaged_note_proves_nothing(gpu, text):
    proof.prove("nf4", lambda code: (GOOD, ""))
    proof._note("nf4", dict(gpu)).write_text(text)
    assert proof.known("nf4", dict(gpu)) is None


def test_a_cache_that_cannot_be_written_proves_nothing_and_ends_nothing(gpu, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compiled, "users_cache", lambda: tmp_path / "file")

    def full(*_):
        raise StorageError("no space left")

    monkeypatch.setattr(proof, "write_json", full)
    assert proof.note("nf4", Proof(True, "x")) is False and "not tried" in proof.why_not("nf4", "cuda", "bfloat16")
    assert proof.prove("nf4", lambda code: (GOOD, "")).ok                       # what was found is still said


def test_what_says_yes_in_other_words_is_no_proof(gpu):
    proof.prove("nf4", lambda code: (GOOD, ""))
    note = proof._note("nf4", dict(gpu))
    note.write_text(json.dumps({**json.loads(note.read_text()), "ok": "false"}))
    assert proof.known("nf4", dict(gpu)) == Proof(False, proof.known("nf4", dict(gpu)).found)


def test_a_kernel_that_fails_is_passed_over_with_its_reason(gpu):
    proof.prove("rms_norm", lambda code: (None, "no answer in 180 s while timing rms_norm"))
    choice = registry.choose("rms_norm", Site("cuda", "bfloat16"))
    assert choice.implementation.name == "one step" and "no answer in 180 s while timing rms_norm" in choice.reason
    proof.prove("rms_norm", lambda code: (GOOD, ""))
    assert registry.choose("rms_norm", Site("cuda", "bfloat16")).implementation.name == "kernel"


def test_bitsandbytes_goes_first_until_it_was_seen_to_fail(gpu):
    site = Site("cuda", "bfloat16")
    proof.prove("nf4", lambda code: (GOOD, ""))
    assert registry.choose("nf4", site).implementation.name == "bitsandbytes"
    proof.prove(proof.LIBRARY, lambda code: (None, "Error named symbol not found at line 62 in file ops.cu"))
    choice = registry.choose("nf4", site)
    assert choice.implementation.name == "kernel" and "named symbol not found" in choice.reason
    proof.prove("nf4", lambda code: (None, "exit code 1"))
    assert registry.choose("nf4", site).implementation.name == "pytorch"
    assert registry.choose("nf4", Site("cpu", "float32")).implementation.name == "bitsandbytes"


def test_without_a_gpu_nothing_is_tried(monkeypatch):
    import torch
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    assert proof.identity("nf4") is None and proof.prove("nf4", lambda code: pytest.fail("tried")) is None
    assert proof.why_not("nf4", "cuda", "bfloat16") == "not compiled for this GPU: `edge-sleep kernels build`"
    assert compiled.find("nf4", "sm_87") is None or compiled.find("nf4", "sm_87").architecture == "sm_87"
