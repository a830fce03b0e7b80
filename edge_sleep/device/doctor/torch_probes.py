"""torch, its GPU, a 4-bit layer and the libraries, each in its own process: a wheel can import and die at its first kernel."""
from __future__ import annotations

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import GIB, Check, Try, try_code

TORCH_PROBE = """
import json, warnings
print("at importing torch", flush=True)
import torch
print("at multiplying on the CPU", flush=True)
x = torch.ones(8, 8, requires_grad=True)
(x @ x).sum().backward()
assert x.grad.eq(16).all(), "8x8 gradient is wrong"
facts = {"version": torch.__version__, "cuda": torch.version.cuda, "gpu": None}
print("at asking for a GPU", flush=True)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    there = torch.cuda.is_available()
facts["why_no_gpu"] = None if there or not said else str(said[0].message).strip().splitlines()[0][:200]
if there:
    print("at asking the GPU what it is", flush=True)
    gpu = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    facts.update(gpu=gpu.name, capability=[gpu.major, gpu.minor], architectures=torch.cuda.get_arch_list(),
                 integrated=bool(getattr(gpu, "is_integrated", False)), free_bytes=free, total_bytes=total)
print(json.dumps(facts))
"""

GPU_PROBE = """
import json, torch
name = torch.cuda.get_device_name(0)
print(f"at multiplying on {name}", flush=True)
y = torch.ones(8, 8, device="cuda", requires_grad=True)
(y @ y).sum().backward()
torch.cuda.synchronize()
assert y.grad.eq(16).all().item(), "8x8 gradient is wrong on the GPU"
print(json.dumps({"gpu": name}))
"""

NF4_PROBE = """
import json
print("at importing bitsandbytes", flush=True)
import torch, bitsandbytes as bnb
gpu = torch.cuda.is_available()
device, name, compute = "cpu", "the CPU", torch.float32
if gpu:
    device, name = "cuda", torch.cuda.get_device_name(0)
    compute = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
def at(what):
    if gpu:
        torch.cuda.synchronize()
    print(f"at {what} on {name}", flush=True)
def off(got, want):
    return ((got.detach().float().cpu() - want).norm() / want.norm()).item()
torch.manual_seed(0)
layer = bnb.nn.Linear4bit(64, 64, bias=False, compute_dtype=compute, quant_type="nf4")
exact = layer.weight.data.clone().float()
x = torch.randn(8, 64)
at("quantising to NF4")
layer = layer.to(device)
x = x.to(device).requires_grad_()
at("running a 4-bit layer forward")
y = layer(x)
at("running a 4-bit layer backward")
y.sum().backward()
at("comparing what a 4-bit layer gave")
print(json.dumps({"version": bnb.__version__, "device": name, "forward": off(y, x.detach().cpu() @ exact.T),
                  "backward": off(x.grad, exact.sum(0).expand(8, 64))}))
"""
# NF4 rounds normal weights by about 9 % of their norm; a broken kernel is off by 100 % or NaN.
NF4_TOLERANCE = 0.25

LIBRARY_PROBE = """
import json, transformers, peft, safetensors, tokenizers
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from peft import LoraConfig, get_peft_model
print(json.dumps({m.__name__: m.__version__ for m in (transformers, peft, safetensors, tokenizers)}))
"""
_WITHOUT_TORCH = "not tried: torch does not run"


def check_torch(facts: dict | None, problem: str) -> Check:
    """facts, problem: the answer of TORCH_PROBE."""
    if facts is None:
        return Check("torch", "fail", problem, "install the torch that belongs to this machine: `make night` has the "
                     "rule, on a Jetson it comes from NVIDIA's wheels")
    build = f"CUDA {facts['cuda']}" if facts["cuda"] else "CPU build"
    return Check("torch", "ok", f"{facts['version']}, {build}; a gradient came out right")


def check_gpu(facts: dict, board: Board, attempt: Try = try_code) -> Check:
    """A product and its gradient on the GPU; facts: those of TORCH_PROBE."""
    if facts.get("gpu"):
        _, problem = attempt(GPU_PROBE)
        if problem:
            memory = "; `NVML_SUCCESS == r` and NvMap error 12 are a Jetson's words for full memory" if board.jetson else ""
            return Check("gpu", "fail", problem, f"install a torch built for this GPU{memory}")
        major, minor = facts["capability"]
        return Check("gpu", "ok", f"{facts['gpu']} (sm_{major}{minor}): a gradient came out right; CUDA counts "
                     f"{facts['free_bytes'] / GIB:.1f} of {facts['total_bytes'] / GIB:.1f} GiB as free")
    if board.nodes and facts:
        because = facts.get("why_no_gpu") or ("it is a CPU build" if not facts["cuda"] else "it sees no CUDA device")
        return Check("gpu", "warn", f"{board.nodes[0]} exists, torch {facts['version']} does not use it: {because}",
                     "install a torch built for this GPU; nights run on the CPU until then")
    if board.jetson and facts:
        return Check("gpu", "warn", "this Jetson shows no GPU node in /dev",
                     "in a container: --runtime nvidia; nights run on the CPU until then")
    return Check("gpu", "skip", "none; nights run on the CPU" if facts else _WITHOUT_TORCH)


def check_nf4(torch_runs: bool, attempt: Try = try_code) -> Check:
    if not torch_runs:
        return Check("bitsandbytes", "skip", _WITHOUT_TORCH)
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


def check_libraries(torch_runs: bool, attempt: Try = try_code) -> Check:
    if not torch_runs:
        return Check("libraries", "skip", _WITHOUT_TORCH)
    facts, problem = attempt(LIBRARY_PROBE)
    if facts is None:
        return Check("libraries", "fail", problem, "constraints.txt has the tested versions")
    return Check("libraries", "ok", ", ".join(f"{name} {version}" for name, version in facts.items()))
