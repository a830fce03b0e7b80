"""Compiling: what is found again and what is not, errors that help, and every source by the real nvcc where there is one."""
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from edge_sleep.errors import DeviceError, UsageError
from edge_sleep.ops import build, compiled

NVCC = """#!/bin/sh
case "$1" in
--version) echo "Cuda compilation tools, release 12.6, V{version}"; exit 0;;
--list-gpu-arch) echo compute_80; echo compute_87; echo compute_90; exit 0;;
esac
echo run >> "{log}"
while [ "$1" != -o ]; do shift; done
echo "machine code of $3" > "$2"
echo "ptxas info    : Compiling entry function '_Z1f' for 'sm_87'" >&2
echo "    0 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads" >&2
echo "ptxas info    : Used 34 registers, used 1 barriers, 64 bytes smem" >&2
{end}
"""


@pytest.fixture
def nvcc(tmp_path, monkeypatch):
    """An nvcc of CUDA 12.6 in a CUDA_HOME; calling it again writes it anew."""
    log = tmp_path / "log"

    def make(version="12.6.68", end="exit 0"):
        file = tmp_path / "cuda" / "bin" / "nvcc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(NVCC.format(version=version, log=log, end=end))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return lambda: len(log.read_text().splitlines()) if log.exists() else 0

    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setenv("EDGE_SLEEP_KERNELS", str(tmp_path / "kernels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make


def test_what_is_there_is_not_made_again(nvcc):
    runs = nvcc()
    (made,) = build.build(["sm_87"], kernels=["nf4"])
    assert made.usage == (compiled.Usage("_Z1f", 34, 20),) and made.compiler == "nvcc 12.6.68"
    assert compiled.find("nf4", "sm_87") == made and made.library.parent.parent.parent == compiled.places()[0]
    assert build.build(["sm_87"], kernels=["nf4"]) == [made] and runs() == 1
    nvcc(version="13.0.88")
    build.build(["sm_87"], kernels=["nf4"])
    assert runs() == 2 and compiled.find("nf4", "sm_87").compiler == "nvcc 13.0.88"
    assert compiled.find("nf4", "sm_90") is None


def test_other_sources_are_another_kernel(nvcc, monkeypatch):
    nvcc()
    build.build(["sm_87"], kernels=["nf4"])
    monkeypatch.setattr(compiled, "source_hash", lambda kernel: "0" * 64)
    assert compiled.find("nf4", "sm_87") is None


@pytest.mark.parametrize("damage", [lambda made: made.library.write_bytes(b"other"), lambda made: made.library.unlink(),
                                    lambda made: made.library.with_suffix(".json").write_text("{")])
def test_what_is_not_what_was_made_is_made_anew(nvcc, damage):
    runs = nvcc()
    (made,) = build.build(["sm_87"], kernels=["nf4"])
    damage(made)
    assert compiled.find("nf4", "sm_87") is None
    assert build.build(["sm_87"], kernels=["nf4"]) == [made] and runs() == 2


def test_a_compiler_that_fails_leaves_nothing(nvcc, tmp_path):
    nvcc(end="echo 'nf4.cu(3): error: no such thing' >&2; exit 2")
    with pytest.raises(DeviceError, match=r"compiling nf4 for sm_87 failed: nf4.cu\(3\): error: no such thing"):
        build.build(["sm_87"], kernels=["nf4"])
    assert not [file for file in (tmp_path / "kernels").rglob("*") if file.is_file()] and compiled.find("nf4", "sm_87") is None


def test_architectures_that_cannot_be(nvcc):
    nvcc()
    with pytest.raises(UsageError, match="nvcc 12.6.68 makes no code for sm_110"):
        build.build(["sm_87", "sm_110"])
    with pytest.raises(UsageError, match="no architecture is called orin"):
        build.build(["orin"])


def test_without_a_compiler_it_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DeviceError, match="no nvcc: looked in CUDA_HOME") as caught:
        build.find_nvcc()
    assert "nights then use bitsandbytes and PyTorch" in caught.value.do


# What came after CUDA 12.6, or is for one architecture: none of it may stand in a source that JetPack 6 compiles.
TOO_NEW = re.compile(r"__nv_fp4|__nv_fp6|cuda_fp4|cuda_fp6|cudaGraphConditional|tcgen05|__CUDACC_VER_MAJOR__\s*>=?\s*13|longlong4_16a|double4_16a|"
                     r"cuda/std|cooperative_groups|wgmma|cp\.async\.bulk|asm\b")
SOURCES = sorted(file for pattern in ("*.cu", "*.h") for file in compiled.sources().rglob(pattern))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_no_source_needs_more_than_cuda_12_6(file: Path):
    text = file.read_text()
    assert not TOO_NEW.findall(text)
    system = set(re.findall(r"#include <(\S+)>", text))
    assert file.name == "host.h" or system <= {"stdint.h", "cuda_bf16.h", "cuda_fp16.h", "cuda_runtime.h"}


def test_every_source_is_a_kernel_with_math_and_reference():
    assert {file for file in SOURCES if file.suffix == ".cu"} == {compiled.sources() / file for file, _ in compiled.KERNELS.values()}
    for file, _ in compiled.KERNELS.values():
        folder = (compiled.sources() / file).parent
        assert (folder / "README.md").is_file() and (folder / "reference.py").is_file()


@pytest.mark.parametrize("kernel", compiled.KERNELS)
def test_what_ctypes_calls_is_what_the_source_exports(kernel):
    """Name, number and kind of every argument; a mistake here is a wrong pointer on a GPU."""
    file, functions = compiled.KERNELS[kernel]
    text = (compiled.sources() / file).read_text()
    exported = re.findall(r"^EXPORTED (\w+)\(([^)]*)\)", text, re.M)
    assert {name for name, _ in exported} == set(functions)
    for name, arguments in exported:
        kinds = ""
        for argument in arguments.replace("\n", " ").split(","):
            kinds += "p" if "*" in argument else {"int": "i", "long long": "l", "float": "f"}[" ".join(argument.split()[:-1])]
        assert kinds == functions[name]


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["sm_80", "sm_87", "sm_90", "sm_110"])
def test_every_source_compiles(architecture, tmp_path, monkeypatch):
    """By the nvcc of this machine; nothing may spill."""
    try:
        known = build.known_to(build.find_nvcc())
    except DeviceError as why:
        pytest.skip(why.message)
    if architecture not in known:
        pytest.skip(f"this nvcc makes no code for {architecture}")
    monkeypatch.setenv("EDGE_SLEEP_KERNELS", str(tmp_path))
    made = build.build([architecture])
    assert {one.kernel for one in made} == set(compiled.KERNELS)
    for one in made:
        assert one.usage and all(part.spill_bytes == 0 for part in one.usage), one
        functions = compiled.opened(one.kernel, one.library)                # without a GPU as well: nothing is launched
        assert all(getattr(functions, name) for name in compiled.KERNELS[one.kernel][1])


@pytest.mark.night
def test_nf4_is_never_contracted(tmp_path):
    """A fused multiply-add would give other bits than bitsandbytes; what says .rn here is never made one later."""
    try:
        nvcc = build.find_nvcc()
    except DeviceError as why:
        pytest.skip(why.message)
    subprocess.run([str(nvcc), "-O3", "-std=c++17", "-ptx", "-arch=compute_87", "-o", str(tmp_path / "nf4.ptx"),
                    str(compiled.sources() / "nf4/nf4.cu")], check=True)
    code = (tmp_path / "nf4.ptx").read_text()
    assert "mul.rn.f32" in code and "add.rn.f32" in code and not re.search(r"\bfma|\bmul\.f32|\badd\.f32", code)
