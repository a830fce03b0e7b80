"""Which device a night runs on and in which precision, each with its reason."""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_UNITS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "Arm's BF16 extension"}     # flag of the kernel -> name


@dataclass(frozen=True)
class Device:
    kind: str            # "gpu" or "cpu", as `plan` and the record name it
    torch_name: str      # "cuda" or "cpu"
    compute_dtype: str   # "bfloat16", "float16" or "float32"
    reason: str


def choose(asked: str = "auto", cpuinfo: Path = CPUINFO) -> Device:
    """The device of this machine, and the type it computes in; asked: that type, or auto. Loads torch."""
    found = _found(cpuinfo)
    if asked in ("auto", found.compute_dtype):
        return found
    return replace(found, compute_dtype=asked, reason=f"{asked} as configured; by itself: {found.reason}")


def _found(cpuinfo: Path) -> Device:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Device("gpu", "cuda", "bfloat16", f"{name} multiplies bfloat16 natively")
        return Device("gpu", "cuda", "float16", f"{name} has no native bfloat16; float16 with a scaled loss")
    why_no_gpu = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no CUDA device"
    units = bfloat16_units(cpuinfo)
    if units is not None:
        return Device("cpu", "cpu", "bfloat16", f"{why_no_gpu}; bfloat16, which this CPU multiplies natively ({units})")
    return Device("cpu", "cpu", "float32", f"{why_no_gpu}; float32, because a CPU without bfloat16 units emulates it")


def bfloat16_units(cpuinfo: Path = CPUINFO) -> str | None:
    """What multiplies bfloat16 on this CPU, by the kernel's flags; None where nothing does."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return next((name for flag, name in _UNITS.items() if flag in flags), None)
