"""Kernels of kernels/ that `edge-sleep kernels build` has compiled: where they lie, and how they are called.

    <cache>/<kernel>/<hash of its sources>/sm_87-<hash of flags and compiler>.so      and a .json of that name beside it

A library is found by the sources that are here now and by the GPU's architecture, so that one that was made of other sources
is never loaded. Nothing here compiles. The functions are C: they take pointers and a stream, and return a cudaError_t.

Where a kernel was not compiled and Triton is installed, `in_triton.py` beside its source takes its place: same functions, tensors
for pointers. Triton compiles at the first call, which is the trial's (ops/proof.py); a night finds the code on the disk.
"""
from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import json
import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from edge_sleep.errors import DeviceError
from edge_sleep.system.files import sha256_file

if TYPE_CHECKING:
    import torch

# p pointer, i int, l long long, f float; the last two of each are the number's type and the stream.
KERNELS: dict[str, tuple[str, dict[str, str]]] = {
    "nf4": ("nf4/nf4.cu", {"edge_sleep_nf4_dequantise": "pppppiiplip"}),
    "rms_norm": ("rms_norm/rms_norm.cu", {"edge_sleep_rms_norm": "pppplifip", "edge_sleep_rms_norm_backward": "pppppliip"}),
    "swiglu": ("swiglu/swiglu.cu", {"edge_sleep_swiglu": "ppplip", "edge_sleep_swiglu_backward": "ppplip"}),
    "rope": ("rope/rope.cu", {"edge_sleep_rope": "ppppiiiillllllliip"}),
    "softmax_tile": ("linear_cross_entropy/softmax_tile.cu", {"edge_sleep_softmax_tile": "ppppppllliip"}),
}
_C = {"p": ctypes.c_void_p, "i": ctypes.c_int, "l": ctypes.c_longlong, "f": ctypes.c_float}
TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
_SHORT = 16                                        # of a hash, in a name


@dataclass(frozen=True)
class Usage:
    """What one compiled function takes of a multiprocessor; spills: bytes stored and loaded for want of registers."""

    function: str
    registers: int
    spill_bytes: int


@dataclass(frozen=True)
class Built:
    kernel: str
    architecture: str
    library: Path
    sha256: str
    compiler: str
    usage: tuple[Usage, ...] = field(default=())


def sources() -> Path:
    """The folder kernels/, in a checkout and in a wheel."""
    found = importlib.util.find_spec("edge_sleep.kernels")
    assert found is not None and found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations)))


def source_hash(kernel: str) -> str:
    """sha256 (hex) over all that is compiled into a kernel: its folder's sources, and the headers of all."""
    file = sources() / KERNELS[kernel][0]
    digest = hashlib.sha256()
    headers = [part for part in sources().glob("*.h") if part.name != "host.h"]          # g++'s, for tests
    for part in sorted([*headers, *file.parent.glob("*.h"), file]):
        digest.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


def users_cache() -> Path:
    """This user's cache: what is compiled, and what was proved of it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge_sleep" / "kernels"


def places() -> list[Path]:
    """Where compiled kernels are looked for, the first also where they are written.

    EDGE_SLEEP_KERNELS names a folder that comes before the cache; `none` switches all of them off (ops/proof.py).
    """
    named = os.environ.get("EDGE_SLEEP_KERNELS")
    return [*([Path(named)] if named and named != "none" else []), users_cache()]


def folder(place: Path, kernel: str) -> Path:
    return place / kernel / source_hash(kernel)[:_SHORT]


def find(kernel: str, architecture: str) -> Built | None:
    """The kernel as it was compiled last for an architecture such as sm_87, from today's sources; None where it was not."""
    for place in places():
        notes = sorted(folder(place, kernel).glob(f"{architecture}-*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
        for note in notes:
            built = _read(note)
            if built is not None:
                return built
    return None


def _read(note: Path) -> Built | None:
    """What the note says, where the library beside it is the one that it was written for."""
    library = note.with_suffix(".so")
    try:
        told = json.loads(note.read_text())
        if sha256_file(library) != told["sha256"]:
            return None
        return Built(told["kernel"], told["architecture"], library, told["sha256"], told["compiler"],
                     tuple(Usage(**entry) for entry in told["usage"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def in_triton(kernel: str) -> str | None:
    """Which code it is, by Triton's version and the file's hash, where Triton is installed and has a version of it."""
    file = (sources() / KERNELS[kernel][0]).parent / "in_triton.py"
    try:
        return f"triton {importlib.metadata.version('triton')} {sha256_file(file)}"
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None


@cache
def architecture_of(index: int) -> str:
    """Of a CUDA device, as nvcc names it."""
    import torch

    return "sm_{}{}".format(*torch.cuda.get_device_capability(index))


@cache
def _opened(kernel: str, architecture: str) -> Any:
    built = find(kernel, architecture)
    if built is None and in_triton(kernel):
        return import_module(f"edge_sleep.kernels.{Path(KERNELS[kernel][0]).parent.name}.in_triton")
    if built is None:
        raise DeviceError(f"the kernel {kernel} is not compiled for {architecture}", "`edge-sleep kernels build`")
    return opened(kernel, built.library)


def opened(kernel: str, library: Path) -> Any:
    """A library with its functions' types told to ctypes."""
    made = ctypes.CDLL(str(library))
    for name, letters in KERNELS[kernel][1].items():
        function = getattr(made, name)
        function.argtypes, function.restype = [_C[letter] for letter in letters], ctypes.c_int
    return made


def library(kernel: str, device: torch.device) -> Any:
    """The compiled kernel for a tensor's device. Raises DeviceError where there is none."""
    import torch

    if device.type != "cuda":
        raise DeviceError(f"the kernel {kernel} is compiled for a GPU, and the tensor lies on {device}")
    return _opened(kernel, architecture_of(torch.cuda.current_device() if device.index is None else device.index))


def call(kernel: str, function: str, like: torch.Tensor, *arguments: Any) -> None:
    """Call a function on the device, in the number type and on the stream of `like`; tensors go as pointers, None as null.

    Raises DeviceError naming CUDA's error. Does not wait: an error of the work itself comes with a later call.
    """
    import torch

    chosen = getattr(library(kernel, like.device), function)
    if isinstance(chosen, FunctionType):           # Triton's
        with torch.cuda.device(like.device) if like.device.type == "cuda" else nullcontext():
            return chosen(*arguments)
    given = [argument.data_ptr() if isinstance(argument, torch.Tensor) else argument for argument in arguments]
    number = TYPES[str(like.dtype).removeprefix("torch.")]
    if like.device.type == "cuda":
        with torch.cuda.device(like.device):
            code = chosen(*given, number, torch.cuda.current_stream(like.device).cuda_stream)
    else:
        code = chosen(*given, number, None)
    if code:
        raise DeviceError(f"the kernel {kernel} ({function}) failed with CUDA error {code}",
                          "`edge-sleep kernels build` tries it anew")
