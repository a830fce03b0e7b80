"""The type a night computes in: by what the CPU says of itself, or as asked."""
import pytest

from edge_sleep.device.detect import bfloat16_units, choose


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
