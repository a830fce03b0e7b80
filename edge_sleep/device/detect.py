"""Which device a night runs on and in which precision, each with its reason."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    kind: str            # "gpu" or "cpu", as `plan` and the record name it
    torch_name: str      # "cuda" or "cpu"
    compute_dtype: str   # "bfloat16", "float16" or "float32"
    reason: str


def choose() -> Device:
    """The device of this machine. Loads torch."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Device("gpu", "cuda", "bfloat16", f"{name} multiplies bfloat16 natively")
        return Device("gpu", "cuda", "float32", f"{name} has no native bfloat16; float32 is slower and safe")
    why_no_gpu = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no CUDA device"
    return Device("cpu", "cpu", "float32", f"{why_no_gpu}; float32, because a CPU without bfloat16 units emulates it")
