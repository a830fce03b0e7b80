"""What this machine can do: each check is tried here and now, never assumed.

Whatever may crash or hang (torch, bitsandbytes, a driver) is tried in a throw-away process with a time limit.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edge_sleep.device import memory
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.system.clock import Clock

Status = Literal["ok", "warn", "fail", "skip"]
PROBE_SECONDS = 180.0
_GIB = 2**30
_MEMORY_WARN_BYTES, _MEMORY_FAIL_BYTES = 2 * _GIB, _GIB // 2
_DISK_WARN_BYTES, _DISK_FAIL_BYTES = 2 * _GIB, _GIB // 8
GPU_NODES = (Path("/dev/nvidia0"), Path("/dev/nvhost-gpu"), Path("/dev/nvgpu"))


@dataclass(frozen=True)
class Check:
    name: str
    status: Status
    found: str
    do: str = ""


TORCH_PROBE = """
import json, torch
x = torch.ones(8, 8, requires_grad=True)
(x @ x).sum().backward()
assert x.grad.eq(16).all(), "8x8 gradient is wrong"
gpu = torch.cuda.is_available()
if gpu:
    y = torch.ones(8, 8, device="cuda", requires_grad=True)
    (y @ y).sum().backward()
    assert y.grad.eq(16).all().item(), "8x8 gradient is wrong on the GPU"
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda,
                  "gpu": torch.cuda.get_device_name(0) if gpu else None}))
"""

NF4_PROBE = """
import json, torch, bitsandbytes as bnb
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
layer = bnb.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
exact = layer.weight.data.clone()
layer = layer.to(device)
x = torch.randn(8, 64, device=device, requires_grad=True)
y = layer(x)
y.sum().backward()
want_y, want_grad = x.detach().cpu() @ exact.T, exact.sum(0).expand(8, 64)
off_y = ((y.detach().cpu() - want_y).norm() / want_y.norm()).item()
off_grad = ((x.grad.cpu() - want_grad).norm() / want_grad.norm()).item()
print(json.dumps({"version": bnb.__version__, "device": device, "forward": off_y, "backward": off_grad}))
"""
# NF4 rounds normal weights by about 9 % of their norm; a broken kernel is off by 100 % or NaN.
NF4_TOLERANCE = 0.25

LIBRARY_PROBE = """
import json, transformers, peft, safetensors, tokenizers
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from peft import LoraConfig, get_peft_model
print(json.dumps({m.__name__: m.__version__ for m in (transformers, peft, safetensors, tokenizers)}))
"""


def try_code(code: str, seconds: float = PROBE_SECONDS) -> tuple[dict | None, str]:
    """Run Python code in its own process; its last line of JSON, or None and what went wrong."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=seconds,
                              env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"})
    except subprocess.TimeoutExpired:
        return None, f"no answer in {seconds:.0f} s"
    if done.returncode < 0:
        return None, f"killed by signal {-done.returncode}"
    if done.returncode:
        last = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return None, (last[-1] if last else f"exit code {done.returncode}")[:300]
    try:
        return json.loads(done.stdout.strip().splitlines()[-1]), ""
    except (ValueError, IndexError):
        return None, "printed no result"


Try = Callable[[str], "tuple[dict | None, str]"]


def check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("python", "warn", version, "tested on Python 3.10 to 3.13")
    return Check("python", "ok", version)


def check_torch(attempt: Try = try_code) -> tuple[Check, dict]:
    facts, problem = attempt(TORCH_PROBE)
    if facts is None:
        return Check("torch", "fail", problem, "install the torch that belongs to this machine: `make night` has the "
                     "rule, on a Jetson it comes from NVIDIA's wheels"), {}
    build = f"CUDA {facts['cuda']}" if facts["cuda"] else "CPU build"
    return Check("torch", "ok", f"{facts['version']}, {build}; a gradient came out right"), facts


def check_gpu(torch_facts: dict, nodes: tuple[Path, ...] = GPU_NODES) -> Check:
    if torch_facts.get("gpu"):
        return Check("gpu", "ok", torch_facts["gpu"])
    present = [str(node) for node in nodes if node.exists()]
    if present and torch_facts:
        return Check("gpu", "warn", f"{present[0]} exists, torch {torch_facts.get('version')} does not use it",
                     "install a torch built for this GPU; nights run on the CPU until then")
    return Check("gpu", "skip", "none; nights run on the CPU")


def check_nf4(attempt: Try = try_code) -> Check:
    facts, problem = attempt(NF4_PROBE)
    if facts is None:
        return Check("bitsandbytes", "fail", problem, "a 4-bit layer must run forward and backward; install a "
                     "bitsandbytes that was built for this machine")
    # Written so that a NaN fails too.
    if not (facts["forward"] < NF4_TOLERANCE and facts["backward"] < NF4_TOLERANCE):
        return Check("bitsandbytes", "fail", f"{facts['version']}: a 4-bit layer on {facts['device']} is off by "
                     f"{facts['forward']:.0%} forward, {facts['backward']:.0%} backward",
                     "this build computes wrong values here; install another")
    return Check("bitsandbytes", "ok", f"{facts['version']}: an NF4 layer ran forward and backward on "
                 f"{facts['device']}, off by {facts['forward']:.0%} as 4 bits are")


def check_libraries(attempt: Try = try_code) -> Check:
    facts, problem = attempt(LIBRARY_PROBE)
    if facts is None:
        return Check("libraries", "fail", problem, "constraints.txt has the tested versions")
    return Check("libraries", "ok", ", ".join(f"{name} {version}" for name, version in facts.items()))


def check_memory(available_bytes: int | None = None) -> Check:
    available = memory.available_bytes() if available_bytes is None else available_bytes
    found = f"{available / _GIB:.1f} GiB available"
    if available < _MEMORY_FAIL_BYTES:
        return Check("memory", "fail", found, "stop what else runs; even the seedling needs 0.5 GiB")
    if available < _MEMORY_WARN_BYTES:
        return Check("memory", "warn", found, "enough for the seedling; a 0.5 B model needs about 2 GiB")
    return Check("memory", "ok", found)


def check_home(root: Path, free_bytes: int | None = None) -> list[Check]:
    """Free space and a real write where the home lies, or will lie; what is written is removed."""
    place = next((folder for folder in (root, *root.absolute().parents) if folder.exists()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            stream.write(b"edge_sleep")
            stream.flush()
            os.fsync(stream.fileno())
        wrote = Check("home", "ok", f"{root} can be written" if place == root else f"{root} can be made in {place}")
    except OSError as error:
        wrote = Check("home", "fail", f"{place} cannot be written: {error.strerror}", "choose another --home")
    free = shutil.disk_usage(place).free if free_bytes is None else free_bytes
    found = f"{free / _GIB:.1f} GiB free for {root}"
    if free < _DISK_FAIL_BYTES:
        return [wrote, Check("disk", "fail", found, "free space, or choose another --home")]
    if free < _DISK_WARN_BYTES:
        return [wrote, Check("disk", "warn", found, "enough for some nights; free space before it ends")]
    return [wrote, Check("disk", "ok", found)]


def check_sensors(source: Sysfs | None = None) -> tuple[Check, dict]:
    """One reading of heat and power; the check, and what `doctor --json` shows of it."""
    source = source or Sysfs()
    nothing = source.available()
    if nothing is not None:
        return (Check("sensors", "skip", f"{nothing}; a night cannot mind this machine's heat"),
                {"source": "none", "celsius": {}, "watts_total": None})
    reading = source.read()
    told = {"source": reading.source, "celsius": reading.zones, "watts_total": reading.watts}
    found = f"{len(reading.zones)} thermal zones"
    if reading.hottest:
        found += f", hottest {reading.hottest[0]} at {reading.hottest[1]:.1f} degrees"
    if reading.gated:
        found += f", {len(reading.gated)} powered off"
    if reading.watts is not None:
        found += f"; {reading.watts:.1f} W ({reading.watts_of})"
    if reading.throttling:
        return Check("sensors", "warn", f"{found}; the kernel throttles: {', '.join(reading.throttling)}",
                     "let the board cool down, and look at its fan"), told
    if reading.lost:
        return Check("sensors", "warn", f"{found}; lost: {'; '.join(reading.lost)}",
                     "a sensor that should answer does not; heat there would go unseen"), told
    return Check("sensors", "ok", found), told


def check_clock(clock: Clock) -> Check:
    now = clock.now()
    if now.year < 2024:
        return Check("clock", "warn", now.isoformat(timespec="seconds"),
                     "set the clock (no battery, no network?): nights and checkpoints are named by it")
    return Check("clock", "ok", now.isoformat(timespec="seconds"))


def examine(home: Path, profile: str, profile_reason: str, clock: Clock | None = None,
            attempt: Try = try_code, source: Sysfs | None = None) -> dict:
    """Every check, as the JSON document of `doctor`."""
    torch_check, torch_facts = check_torch(attempt)
    sensors, telemetry = check_sensors(source)
    checks = [check_python(), torch_check, check_gpu(torch_facts), check_nf4(attempt), check_libraries(attempt),
              check_memory(), *check_home(home), sensors, check_clock(clock or Clock())]
    return {"checks": [asdict(check) for check in checks],
            "telemetry": telemetry,
            "profile": profile, "profile_reason": profile_reason}
