"""Every kernel through CUDA 12.6's own compiler, for sm_87, as JetPack 6 has it.

NVIDIA publishes no nvcc of that release as a package, but its compiler as a library (NVRTC) and its assembler. NVRTC takes no host code:
it is told to read the host's functions as the device's, and a launch as what makes the kernel exist. Headers and kernels are 12.6's and ours.
"""
from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from edge_sleep.ops import build, compiled
from tests.fetched import fetched

pytestmark = [pytest.mark.night, pytest.mark.timeout(400)]
# What the host's own headers would say, of which NVRTC has none. The largest number stands for infinity: nothing is run.
HOSTS = """
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned int uint32_t; typedef unsigned long long uint64_t;
typedef int int32_t; typedef long long int64_t; typedef unsigned long uintptr_t;
#define INFINITY 3.402823466e+38f
#define INT32_MAX 2147483647
__device__ inline int cudaGetLastError() { return 0; }
__device__ void* launched;
template <typename Kernel, typename... Rest> __device__ inline void made(Kernel kernel, Rest...) { launched = reinterpret_cast<void*>(kernel); }
"""
SOURCES = [compiled.sources() / file for file, _ in compiled.KERNELS.values()]


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = fetched(tmp_path_factory.mktemp("cuda"), "nvidia-cuda-nvrtc-cu12==12.6.85", "nvidia-cuda-runtime-cu12==12.6.77",
                    "nvidia-cuda-nvcc-cu12==12.6.85")
    return found / "nvidia"


def translated(cuda: Path, source: Path) -> tuple[int, str, str]:
    """NVRTC's status, what it says, and the PTX of a source for sm_87."""
    library = ctypes.CDLL(str(cuda / "cuda_nvrtc/lib/libnvrtc.so.12"))
    gpu, launches = re.subn(r"\(kernel\)<<<.*>>>\(__VA_ARGS__\)", "made(kernel, __VA_ARGS__)", (compiled.sources() / "gpu.h").read_text())
    assert launches == 1
    names, texts = ((ctypes.c_char_p * 2)(*map(str.encode, parts)) for parts in (("stdint.h", "../gpu.h"), (HOSTS, gpu)))
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), source.name.encode(), 2, texts, names) == 0
    # 1097: NVRTC knows no visibility; 177: what a launch would have been given.
    flags = ["--gpu-architecture=compute_87", "-std=c++17", "-default-device", "-diag-suppress=1097,177",
             *(f"-I{folder}" for folder in (source.parent, cuda / "cuda_runtime/include", cuda / "cuda_nvcc/include"))]
    status = library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*map(str.encode, flags)))

    def told(what: str) -> str:
        size = ctypes.c_size_t()
        getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(max(size.value, 1))
        getattr(library, f"nvrtcGet{what}")(program, text)
        return text.value.decode()

    said, code = told("ProgramLog"), told("PTX") if status == 0 else ""
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return status, said, code


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_compiles_for_an_orin_and_spills_nothing(source: Path, cuda: Path, tmp_path: Path) -> None:
    status, said, code = translated(cuda, source)
    assert (status, said.strip()) == (0, "")
    (tmp_path / "code.ptx").write_text(code)
    assembler = cuda / "cuda_nvcc/bin/ptxas"
    assembler.chmod(0o755)
    told = subprocess.run([str(assembler), "-arch=sm_87", "-v", "-o", str(tmp_path / "code.cubin"), str(tmp_path / "code.ptx")],
                          capture_output=True, text=True, check=True).stderr
    usage = build.usage_of(told)
    assert usage and len(usage) == code.count(".entry") and not [one for one in usage if one.spill_bytes or one.registers > 64], usage


def test_what_12_6_does_not_know_is_refused(cuda: Path, tmp_path: Path) -> None:
    """The compiler is that release's: a type of CUDA 13 is none to it."""
    (tmp_path / "kernel").mkdir()
    source = tmp_path / "kernel/new.cu"
    source.write_text('#include "../gpu.h"\n__global__ void f(double4_16a* x) { x[0].x = 1; }\n')
    status, said, _ = translated(cuda, source)
    assert status != 0 and "double4_16a" in said
