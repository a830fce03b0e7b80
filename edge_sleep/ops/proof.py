"""What was proved of a kernel on this very GPU: a call of its own process gave the reference's values, and not slower.

`edge-sleep kernels list` and `kernels build` try what was not tried yet (ops/trial.py) and write down what came of it. A night
tries nothing: it takes what is written here for these bytes, this GPU, driver and torch, and nothing else. So a kernel that
hangs, crashes or computes otherwise costs a line of `kernels list`, and never a night.
"""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edge_sleep.errors import StorageError
from edge_sleep.ops import compiled
from edge_sleep.system.files import canonical_json, write_json

LIBRARY = "bitsandbytes"                           # proved beside our kernels: where its code runs it goes first
# Of the time that PyTorch takes for the same: a kernel that is not even as fast is left out, with room for the clock's noise.
_NOT_SLOWER = 1.05
Attempt = Callable[..., "tuple[dict | None, str]"]  # try_code of device/doctor/check.py


@dataclass(frozen=True)
class Proof:
    """ok: whether it may be used; found: why, or why not, with its numbers."""

    ok: bool
    found: str


def identity(kernel: str) -> dict[str, Any] | None:
    """What a proof holds for: code, GPU, driver and torch. None without a GPU, or a kernel for it. Loads torch."""
    import torch

    if not torch.cuda.is_available():
        return None
    gpu = _gpu()
    if kernel == LIBRARY:
        from importlib.metadata import version

        return {**gpu, "code": f"bitsandbytes {version('bitsandbytes')}", "torch": torch.__version__}
    built = compiled.find(kernel, gpu["architecture"])
    code = built.sha256 if built is not None else compiled.in_triton(kernel)
    return None if code is None else {**gpu, "code": code, "torch": torch.__version__}


@cache
def _gpu() -> dict[str, Any]:
    import torch

    device = torch.cuda.current_device()
    return {"gpu": torch.cuda.get_device_name(device), "architecture": compiled.architecture_of(device),
            "cuda": torch.version.cuda, "driver": _driver()}


def _driver(file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The kernel module's own line; on boards without it, L4T's."""
    for place in (file, Path("/etc/nv_tegra_release")):
        try:
            return place.read_text().splitlines()[0].strip()
        except (OSError, IndexError):
            continue
    return "unknown"


def _note(kernel: str, of: dict[str, Any]) -> Path:
    return compiled.users_cache() / "proofs" / f"{kernel}-{hashlib.sha256(canonical_json(of)).hexdigest()[:16]}.json"


def known(kernel: str, of: dict[str, Any]) -> Proof | None:
    """What was written down; None where nothing was, or it is not readable."""
    try:
        told = json.loads(_note(kernel, of).read_text())
        return Proof(told["ok"] is True, str(told["found"])) if told["identity"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def prove(kernel: str, attempt: Attempt) -> Proof | None:
    """Try the kernel in a process of its own and write down what came of it; None where it is not compiled for this GPU."""
    of = identity(kernel)
    if of is None:
        return None
    found = judged(*attempt(f"from edge_sleep.ops import trial; trial.main({kernel!r})"))
    note(kernel, found)
    return found


def note(kernel: str, found: Proof) -> bool:
    """Write down what was found of a kernel, or of bitsandbytes, on the GPU at hand; False where that cannot be kept."""
    of = identity(kernel)
    if of is None:
        return False
    if known(kernel, of) != found:
        try:
            write_json(_note(kernel, of), {"identity": of, "ok": found.ok, "found": found.found})
        except StorageError:                       # no reason for a night to end: the kernel stays unproved
            return False
    return True


def judged(facts: dict | None, problem: str) -> Proof:
    """The verdict on what a trial printed: {"cases", "off" and "allowed" at the worst, "seconds": {"kernel", "pytorch"}}."""
    if facts is None:
        return Proof(False, f"tried here, it failed: {problem}")
    # Written so that a NaN fails too.
    if not facts["off"] <= facts["allowed"]:
        return Proof(False, f"tried here, it is off by {facts['off']:.2g} times what rounding explains")
    ours, theirs = facts["seconds"]["kernel"], facts["seconds"]["pytorch"]
    figures = f"{ours * 1e6:.0f} us, PyTorch takes {theirs * 1e6:.0f}"
    if not ours <= theirs * _NOT_SLOWER:
        return Proof(False, f"tried here, it is right and slower: {figures}")
    return Proof(True, f"tried here: {facts['cases']} cases as the reference, {figures}")


def why_not(kernel: str, device: str, dtype: str) -> str | None:
    """Why the registry passes a kernel over on a device ("cpu" or "cuda"); None where it is proved."""
    if device != "cuda":
        return f"compiled for a GPU, not for {device}"
    if os.environ.get("EDGE_SLEEP_KERNELS") == "none":
        return "switched off (EDGE_SLEEP_KERNELS=none)"
    if dtype not in compiled.TYPES:
        return f"it knows no {dtype}"
    of = identity(kernel)
    if of is None:
        return "not compiled for this GPU: `edge-sleep kernels build`"
    proof = known(kernel, of)
    if proof is None:
        return "not tried on this GPU yet: `edge-sleep kernels list`"
    return None if proof.ok else proof.found


def library_fails(device: str) -> str | None:
    """Why bitsandbytes' own 4-bit code is passed over; None where it runs, or nobody said that it does not.

    A night tries a 4-bit layer before it takes the GPU, and writes down what came of it (model/four_bit.py).
    """
    if device != "cuda":
        return None
    of = identity(LIBRARY)
    proof = None if of is None else known(LIBRARY, of)
    return proof.found if proof is not None and not proof.ok else None
