"""Which device a night runs on and in which precision, each with its reason."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sleep.device.doctor.check import Try, try_code
from edge_sleep.device.doctor.torch_probes import check_nf4

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
    return _as_asked(_found(cpuinfo), asked)


def _as_asked(found: Device, asked: str) -> Device:
    if asked in ("auto", found.compute_dtype):
        return found
    return replace(found, compute_dtype=asked, reason=f"{asked} as configured; by itself: {found.reason}")


@dataclass(frozen=True)
class Considered:
    """One device of the order GPU, CPU, another machine: whether it is taken, and why or why not."""

    device: str
    taken: bool
    reason: str


# (whether bitsandbytes' layer ran, what was found, how to try more) -> why the GPU serves all the same, if it does not run.
Heard = Callable[[bool, str, Try], "str | None"]


def tried(asked: str = "auto", cpuinfo: Path = CPUINFO, attempt: Try = try_code,
          heard: Heard = lambda ok, found, attempt: None) -> tuple[Device, list[Considered]]:
    """As `choose`, but a GPU is taken only where a 4-bit layer has just run on it, forward and backward, in another process.

    heard: told what came of bitsandbytes' own layer; where that failed it may know another way.
    """
    found = choose(asked, cpuinfo)
    elsewhere = Considered("another machine", False, "not asked: this one can")
    if found.kind == "cpu":
        return found, [Considered("gpu", False, _why_no_gpu()), Considered("cpu", True, found.reason), elsewhere]
    check = check_nf4(True, attempt)
    ok = check.status == "ok"
    way = heard(ok, check.found, attempt)
    if ok or way is not None:
        return found, [Considered("gpu", True, f"{found.reason}; {check.found if ok else way}"),
                       Considered("cpu", False, "not needed"), elsewhere]
    instead = on_cpu(asked, f"the GPU fails: {check.found}", cpuinfo)
    return instead, [Considered("gpu", False, f"a 4-bit layer was tried and failed: {check.found}"),
                     Considered("cpu", True, instead.reason), elsewhere]


def on_cpu(asked: str, why_no_gpu: str, cpuinfo: Path = CPUINFO) -> Device:
    """The CPU, whatever GPU there is."""
    return _as_asked(_cpu(why_no_gpu, cpuinfo), asked)


def _why_no_gpu() -> str:
    import torch

    return "this torch is a CPU build" if torch.version.cuda is None else "torch sees no CUDA device"


def _found(cpuinfo: Path) -> Device:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Device("gpu", "cuda", "bfloat16", f"{name} multiplies bfloat16 natively")
        return Device("gpu", "cuda", "float16", f"{name} has no native bfloat16; float16 with a scaled loss")
    return _cpu(_why_no_gpu(), cpuinfo)


def _cpu(why_no_gpu: str, cpuinfo: Path) -> Device:
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
