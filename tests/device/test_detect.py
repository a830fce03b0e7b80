"""The type a night computes in: by what the CPU says of itself, or as asked."""
import pytest

from edge_sleep.device import detect
from edge_sleep.device.detect import Device, bfloat16_units, choose, tried


@pytest.mark.parametrize(("text", "units"), [
    ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", "AVX512-BF16"), ("flags : fpu amx_bf16 amx_tile\n", "AMX"),
    ("flags : fpu avx2 avx512f\n", None), ("Features\t: fp asimd fphp asimdhp\n", None),         # Orin's A78AE
    ("Features\t: fp asimd sve bf16 i8mm\n", "Arm's BF16 extension"), ("", None)])
def test_native_bfloat16_is_read_from_the_kernel(tmp_path, text, units):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert bfloat16_units(file) == units


def test_an_unreadable_cpuinfo_claims_nothing(tmp_path):
    assert bfloat16_units(tmp_path / "none") is None


def test_what_is_asked_is_taken_and_says_so(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("flags : avx512_bf16\n")
    found, asked = choose(cpuinfo=file), choose("float32", cpuinfo=file)
    if found.kind == "cpu":
        assert found.compute_dtype == "bfloat16" and "natively" in found.reason
    assert asked.compute_dtype == "float32" and "as configured; by itself: " in asked.reason or found.compute_dtype == "float32"


GOOD = {"version": "0.50.2", "device": "Orin", "forward": 0.09, "backward": 0.09}


@pytest.mark.parametrize(("answer", "taken", "words"), [
    ((GOOD, ""), "gpu", "ran forward and backward"), ((None, "killed by SIGSEGV while running a 4-bit layer backward on Orin"), "cpu", "SIGSEGV"),
    ((None, "no answer in 180 s"), "cpu", "no answer"), ((GOOD | {"backward": float("nan")}, ""), "cpu", "nan")])
def test_a_gpu_is_taken_only_where_a_4_bit_layer_ran_on_it(tmp_path, monkeypatch, answer, taken, words):
    monkeypatch.setattr(detect, "_found", lambda cpuinfo: Device("gpu", "cuda", "bfloat16", "Orin multiplies bfloat16 natively"))
    found, order = tried(cpuinfo=tmp_path / "none", attempt=lambda code, *seconds: answer)
    assert found.kind == taken
    assert [one.device for one in order] == ["gpu", "cpu", "another machine"]
    assert [one.device for one in order if one.taken] == [taken]
    assert words in order[0].reason and all(one.reason for one in order)
    if taken == "cpu":
        assert words in found.reason and found.compute_dtype == "float32"


def test_without_a_gpu_the_order_says_why(tmp_path):
    if choose().kind == "cpu":
        _, order = tried(cpuinfo=tmp_path / "none", attempt=lambda *_: pytest.fail("nothing to try"))
        assert (order[0].taken, order[1].taken) == (False, True)
        assert "torch" in order[0].reason
