"""What ran: versions and machine, for the record."""
from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import edge_sleep
from edge_sleep.device.machine import device_tree_model

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "tokenizers")


def describe() -> dict[str, str | int | None]:
    """Versions without importing anything heavy; null where a package is not installed."""
    found: dict[str, str | int | None] = {"edge_sleep": edge_sleep.__version__, "python": platform.python_version(),
                                          "system": platform.system(), "machine": platform.machine(),
                                          "cores": cores()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def versions() -> dict[str, str]:
    """Of edge_sleep, Python and the packages that are installed."""
    found = describe()
    return {name: str(found[name]) for name in ("edge_sleep", "python", *_PACKAGES) if found[name] is not None}


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> int:
    """CUDA devices this process may use. Loads torch."""
    import torch

    return torch.cuda.device_count()


def processor(cpuinfo: Path = Path("/proc/cpuinfo"), model: Path | None = None) -> str:
    """The board's name where it has one, else the processor's, else its architecture."""
    try:
        return (model or device_tree_model()).read_text().rstrip("\0 \n")
    except OSError:
        pass
    try:
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    except OSError:
        named = []
    return named[0] if named else platform.machine()
