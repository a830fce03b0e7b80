"""Compile the kernels with nvcc: for `edge-sleep kernels build` and for the container; never at install time, never at night."""
from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from edge_sleep.errors import DeviceError, UsageError
from edge_sleep.ops.compiled import KERNELS, Built, Usage, _read, folder, places, sources
from edge_sleep.system.files import new_folder, sha256_file, write_bytes, write_json

# Machine code of one architecture alone: a Jetson before JetPack 7.2 takes only its very own, and translating PTX takes minutes.
FLAGS = ("-O3", "-std=c++17", "-shared", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-cudart", "static", "-Xptxas", "-v")
_ARCHITECTURE = re.compile(r"sm_(\d{2,3})")
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SECONDS = 900


def find_nvcc() -> Path:
    """CUDA_HOME's, that of the PATH, or /usr/local/cuda's. Raises DeviceError where there is none."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    candidates = [Path(home) / "bin" / "nvcc" for home in homes if home]
    candidates += [Path(found)] if (found := shutil.which("nvcc")) else []
    for candidate in [*candidates, Path("/usr/local/cuda/bin/nvcc")]:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise DeviceError("no nvcc: looked in CUDA_HOME, the PATH and /usr/local/cuda",
                      "install CUDA's compiler (a Jetson: `sudo apt-get install nvidia-jetpack` or cuda-nvcc), or go on without: "
                      "nights then use bitsandbytes and PyTorch")


def version_of(nvcc: Path) -> str:
    """As "13.0.88"."""
    said = _run([str(nvcc), "--version"], "asking nvcc for its version")
    found = re.search(r"V(\d+\.\d+\.\d+)", said)
    if not found:
        raise DeviceError(f"{nvcc} does not say which version it is", "is it CUDA's own nvcc?")
    return found[1]


def known_to(nvcc: Path) -> set[str]:
    """Architectures that this compiler makes code for, as sm_87."""
    said = _run([str(nvcc), "--list-gpu-arch"], "asking nvcc what it knows")
    return {f"sm_{name}" for name in re.findall(r"compute_(\d+)\b", said)}


def build(architectures: list[str], jobs: int = 1, kernels: list[str] | None = None) -> list[Built]:
    """Every kernel for every architecture, those that are there already as they are; `jobs` compilers at a time.

    Raises UsageError for an architecture that nvcc does not know, DeviceError where there is no nvcc or it fails.
    """
    nvcc = find_nvcc()
    version = version_of(nvcc)
    wrong = [name for name in architectures if not _ARCHITECTURE.fullmatch(name)]
    if wrong:
        raise UsageError(f"no architecture is called {', '.join(wrong)}", "sm_87 is Orin, sm_110 Thor: `--arch sm_87,sm_110`")
    known = known_to(nvcc)
    if unknown := [name for name in architectures if name not in known]:
        raise UsageError(f"nvcc {version} makes no code for {', '.join(unknown)}, only for {', '.join(sorted(known, key=len))}",
                         "sm_110 needs CUDA 13")
    work = [(kernel, architecture) for kernel in kernels or KERNELS for architecture in architectures]
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(pool.map(lambda one: _built(one[0], one[1], nvcc, version), work))


def _built(kernel: str, architecture: str, nvcc: Path, version: str) -> Built:
    flags = [*FLAGS, "-gencode", f"arch=compute_{architecture[3:]},code={architecture}"]
    key = hashlib.sha256("\0".join([*flags, version]).encode()).hexdigest()[:16]
    target = folder(places()[0], kernel) / f"{architecture}-{key}"
    note = target.with_suffix(".json")
    if note.is_file() and (there := _read(note)) is not None:
        return there
    with new_folder(target) as staged:
        made = staged / "kernel.so"
        said = _run([str(nvcc), *flags, "-o", str(made), str(sources() / KERNELS[kernel][0])],
                    f"compiling {kernel} for {architecture}")
        usage = usage_of(said)
        library = target.with_suffix(".so")
        write_bytes(library, made.read_bytes())
    built = Built(kernel, architecture, library, sha256_file(library), f"nvcc {version}", usage)
    # Last: a library without its note is not found.
    write_json(note, {"kernel": kernel, "architecture": architecture, "sha256": built.sha256, "compiler": built.compiler,
                      "flags": flags, "usage": [asdict(one) for one in usage]})
    return built


def usage_of(said: str) -> tuple[Usage, ...]:
    """What ptxas -v tells of each function: registers, and bytes spilled."""
    found: list[Usage] = []
    name, spilled = "", 0
    for line in said.splitlines():
        if entry := _ENTRY.search(line):
            name = entry[1]
        elif spills := _SPILLS.search(line):
            spilled = int(spills[1]) + int(spills[2])
        elif (registers := _REGISTERS.search(line)) and name:
            found.append(Usage(name, int(registers[1]), spilled))
            name, spilled = "", 0
    return tuple(found)


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{what} failed: {error}", "does this nvcc run by itself?") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = next((line for line in lines if re.search("error|fatal", line, re.I)), lines[-1] if lines else "no message")
        raise DeviceError(f"{what} failed: {telling.strip()}",
                          "g++ must be one that this CUDA accepts; NVCC_APPEND_FLAGS='-ccbin g++-12' names another")
    return done.stdout + done.stderr
