"""4-bit layers on a GPU for which bitsandbytes has no code: quantised on the CPU, run by ops of ours, saved as ever.

bitsandbytes' wheels have no code for Orin, and where JetPack 6 runs, none of their kernels does. The layers stay bitsandbytes'
own, so that files, cache and adapters are the same; only `forward` of each is another on this instance.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edge_sleep.device.doctor.check import Try
from edge_sleep.device.doctor.torch_probes import NF4_TOLERANCE
from edge_sleep.ops import proof, registry
from edge_sleep.ops.registry import Site

_PROBE = "from edge_sleep.model import four_bit; four_bit.probe()"


def quantised_on(device: str) -> str:
    """Where weights for a device are quantised: there, or on the CPU where bitsandbytes' code for it does not run."""
    kind = device.partition(":")[0]
    return device if proof.library_fails(kind) is None else "cpu"


def run_without_library(model: Any, device: str, dtype: str) -> str | None:
    """Have every 4-bit layer of `model` run by what the registry chose instead of bitsandbytes, in place.

    The reason for that choice; None where bitsandbytes' own code runs, and nothing was done.
    """
    choice = registry.choose("nf4", Site(device.partition(":")[0], dtype))
    if choice.implementation.name == proof.LIBRARY:
        return None
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.__dict__["forward"] = _forward_of(module)
    return choice.reason


def _forward_of(layer: Any) -> Callable[[Any], Any]:
    from edge_sleep.ops.lora import frozen_linear

    def forward(x: Any) -> Any:
        dtype = layer.compute_dtype or x.dtype
        bias = None if layer.bias is None else layer.bias.to(dtype)
        return frozen_linear(x.to(dtype), layer.weight, bias).to(x.dtype)

    return forward


def heard(ok: bool, found: str, attempt: Try) -> str | None:
    """Write down what a trial of bitsandbytes on the GPU found; the reason to take the GPU all the same, if there is one.

    Where it failed our kernel is tried if it was not yet, then a 4-bit layer without bitsandbytes' code, forward and backward.
    """
    if not proof.note(proof.LIBRARY, proof.Proof(ok, found)) or ok:
        return None
    of = proof.identity("nf4")
    if of is not None and proof.known("nf4", of) is None:
        proof.prove("nf4", attempt)
    facts, problem = attempt(_PROBE)
    if facts is None:
        return None
    # Written so that a NaN fails too.
    if not (facts["forward"] < NF4_TOLERANCE and facts["backward"] < NF4_TOLERANCE):
        return None
    return (f"bitsandbytes' own code fails there ({found}), and 4-bit layers go without it: one ran forward and backward by "
            f"{facts['by']}, off by {facts['forward']:.0%} as 4 bits are")


def probe(device: str = "cuda") -> None:
    """A 4-bit layer without bitsandbytes' GPU code, forward and backward; its last line is one JSON document."""
    import torch
    from bitsandbytes.nn import Linear4bit

    dtype = torch.float32
    if device == "cuda":
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    torch.manual_seed(0)
    layer = Linear4bit(64, 64, bias=False, compute_dtype=dtype, quant_type="nf4")
    exact, x = layer.weight.data.clone().float(), torch.randn(8, 64)
    print("at quantising to NF4 on the CPU", flush=True)
    layer = layer.to("cpu").to(device)
    name = str(dtype).removeprefix("torch.")
    run_without_library(layer, device, name)
    given = x.to(device, dtype).requires_grad_()
    print("at running a 4-bit layer without bitsandbytes' code", flush=True)
    out = layer(given)
    out.sum().backward()

    def off(got: Any, want: Any) -> float:
        return ((got.detach().float().cpu() - want).norm() / want.norm()).item()

    by = registry.choose("nf4", Site(device, name)).implementation.name
    print(json.dumps({"by": by, "forward": off(out, x @ exact.T), "backward": off(given.grad, exact.sum(0).expand(8, 64))}))
