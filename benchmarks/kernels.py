"""Each small operation of a step by every code that does it: ours, PyTorch's, bitsandbytes', Liger's and Unsloth's, in one run.

    edge-sleep kernels build && pip install liger-kernel unsloth
    python -m edge_sleep.benchmarks.kernels --tokens 256,512,2048 --hidden 896 --intermediate 4864 --vocabulary 151936

First every compiled kernel is held to its reference; one that is off is not timed. Then the contenders of an operation take
turns, call by call, on the same numbers: p20, p50 and p80 of one pass (forward and backward, where there is one), and the share
of the limit: a plain copy of 256 MiB or a bare product, whichever would take longer, both timed in the same run. What is not
installed, or does not run here, is named with its reason. On a CPU times are of the processor, so that neighbours do not count.
The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_sleep.device import environment
from edge_sleep.ops import compiled, registry

PEERS = ("kernel", "pytorch", "formula", "bitsandbytes", "liger", "unsloth")


@dataclass(frozen=True)
class Case:
    """One operation at one size: what each contender calls, and the bytes and products that it cannot do without."""

    op: str
    shape: str
    bytes_moved: int
    calls: dict[str, Callable[[], Callable[[], Any]]]      # name -> makes the call; raises where it is not to be had
    flop: int = 0


def _pass_of(function: Callable[..., Any], inputs: list[Any], given: Any) -> Callable[[], Any]:
    """Forward and backward. Inputs are results of something else, as in a model: ours may write over them."""
    def once() -> None:
        function(*(value.detach().requires_grad_() * 1 for value in inputs)).backward(given)

    return once


def _liger(path: str) -> Any:
    from importlib import import_module

    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def nf4(device: str, dtype: Any, rows: int, width: int) -> Case:
    import torch
    from bitsandbytes.functional import quantize_4bit

    from edge_sleep.ops import nf4 as ours

    source = torch.randn(rows, width).to(dtype)
    packed, state = quantize_4bit(source, quant_type="nf4", compress_statistics=True)
    state.to(device)
    weight = type("Weight", (), {"data": packed.to(device), "quant_state": state, "device": torch.device(device)})

    def unsloth() -> Callable[[], Any]:
        fast = _liger("unsloth.kernels.utils:fast_dequantize")
        return lambda: fast(weight.data, state)

    return Case("nf4", f"{rows}x{width}", int(rows * width * (dtype.itemsize + 0.5 + 1 / 64)), {
        "kernel": lambda: lambda: ours.with_kernel(weight, dtype), "pytorch": lambda: lambda: ours.in_pytorch(weight, dtype),
        "bitsandbytes": lambda: lambda: ours.with_bitsandbytes(weight, dtype), "unsloth": unsloth})


def rms_norm(device: str, dtype: Any, tokens: int, width: int) -> Case:
    import torch
    from edge_sleep.kernels.rms_norm import reference

    from edge_sleep.ops import elementwise, fused

    x, given = (torch.randn(tokens, width, dtype=dtype, device=device) for _ in range(2))
    weight = torch.rand(width, device=device).to(dtype)

    def liger() -> Callable[[], Any]:
        function = _liger("liger_kernel.ops.rms_norm:LigerRMSNormFunction")
        return _pass_of(lambda x: function.apply(x, weight, 1e-6), [x], given)

    def unsloth() -> Callable[[], Any]:
        function = _liger("unsloth.kernels.rms_layernorm:Fast_RMS_Layernorm")
        return _pass_of(lambda x: function.apply(x, weight, 1e-6, False), [x], given)

    return Case("rms_norm", f"{tokens}x{width}", 5 * tokens * width * dtype.itemsize, {
        "kernel": lambda: _pass_of(lambda x: fused.rms_norm(x, weight, 1e-6), [x], given),
        "pytorch": lambda: _pass_of(lambda x: elementwise.rms_norm(x, weight, 1e-6), [x], given),
        "formula": lambda: _pass_of(lambda x: reference.rms_norm(x, weight, 1e-6), [x], given),
        "liger": liger, "unsloth": unsloth})


def swiglu(device: str, dtype: Any, tokens: int, width: int) -> Case:
    import torch
    from edge_sleep.kernels.swiglu import reference

    from edge_sleep.ops import elementwise, fused

    gate, up, given = (torch.randn(tokens, width, dtype=dtype, device=device) for _ in range(3))

    def liger() -> Callable[[], Any]:
        function = _liger("liger_kernel.ops.swiglu:LigerSiLUMulFunction")
        return _pass_of(lambda gate, up: function.apply(gate, up), [gate, up], given)

    return Case("swiglu", f"{tokens}x{width}", 8 * tokens * width * dtype.itemsize, {
        "kernel": lambda: _pass_of(fused.swiglu, [gate, up], given),
        "pytorch": lambda: _pass_of(elementwise.swiglu, [gate, up], given),
        "formula": lambda: _pass_of(reference.swiglu, [gate, up], given), "liger": liger})


def rope(device: str, dtype: Any, tokens: int, width: int) -> Case:
    import torch

    from edge_sleep.ops import fused
    from edge_sleep.ops import rope as plain

    heads, size = width // 64, 64
    x, given = (torch.randn(1, tokens, heads, size, dtype=dtype, device=device).transpose(1, 2) for _ in range(2))
    angles = torch.rand(1, tokens, size // 2, device=device).repeat(1, 1, 2)
    cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)

    def liger() -> Callable[[], Any]:
        function = _liger("liger_kernel.ops.rope:LigerRopeFunction")
        return _pass_of(lambda x: function.apply(x, x[:, :1], cosines, sines)[0], [x], given)

    return Case("rope", f"{tokens}x{heads}x{size}", 4 * tokens * width * dtype.itemsize, {
        "kernel": lambda: _pass_of(lambda x: fused.rotate(x, cosines, sines), [x], given),
        "pytorch": lambda: _pass_of(lambda x: plain.rotate(x, cosines, sines), [x], given), "liger": liger})


def softmax_tile(device: str, dtype: Any, tokens: int, columns: int) -> Case:
    import torch

    from edge_sleep.ops import fused, loss

    logits = torch.randn(tokens, columns, dtype=dtype, device=device)
    targets = torch.zeros(tokens, dtype=torch.long, device=device)
    space = loss.Space(logits, loss.DenseHead(logits.t()), tokens)
    sums = loss.Sums(*(torch.zeros(tokens, 1, device=device) for _ in range(3)))
    return Case("softmax_tile", f"{tokens}x{columns}", 2 * tokens * columns * dtype.itemsize, {
        "kernel": lambda: lambda: fused.softmax_tile(logits, targets, 0, sums, space, True),
        "pytorch": lambda: lambda: loss.softmax_tile(logits, targets, 0, sums, space, True)})


def loss_head(device: str, dtype: Any, tokens: int, width: int, vocabulary: int) -> Case:
    """The whole head, where Liger has chunks of tokens: ours never has all logits either."""
    import torch

    from edge_sleep.ops import fused, loss

    hidden = torch.randn(tokens, width, dtype=dtype, device=device)
    head = torch.randn(vocabulary, width, device=device).mul_(0.02).to(dtype)
    targets, weights = torch.randint(vocabulary, (tokens,), device=device), torch.ones(tokens, device=device)

    def of(function: Callable[..., Any]) -> Callable[[], Any]:
        one = torch.ones((), device=device)
        return _pass_of(lambda hidden: function(hidden, head, targets, weights, denominator=float(tokens)).float(), [hidden], one)

    def liger() -> Callable[[], Any]:
        function = _liger("liger_kernel.ops.fused_linear_cross_entropy:LigerFusedLinearCrossEntropyFunction")
        one = torch.ones((), device=device)
        return _pass_of(lambda hidden: function.apply(hidden, head, targets)[0].float(), [hidden], one)

    return Case("loss_head", f"{tokens}x{width}x{vocabulary}", vocabulary * width * dtype.itemsize, {
        "kernel": lambda: of(fused.chunked_cross_entropy), "pytorch": lambda: of(loss.chunked_cross_entropy),
        "formula": lambda: of(loss.reference_cross_entropy), "liger": liger}, 4 * tokens * width * vocabulary)


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def _clock(device: str) -> float:
    return time.perf_counter() if device == "cuda" else time.process_time()


def _once(call: Callable[[], Any], device: str) -> float:
    _wait(device)
    began = _clock(device)
    call()
    _wait(device)
    return _clock(device) - began


def copy_bytes_per_second(device: str, mebibytes: int = 256) -> float:
    """Read and written, of a plain copy."""
    import torch

    source = torch.zeros(mebibytes << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / statistics.median(_once(lambda: target.copy_(source), device) for _ in range(7))


def product_flops(device: str, dtype: Any) -> float:
    """FLOP per second of a bare product."""
    import torch

    size = 4096 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size ** 3 / statistics.median(_once(lambda: left @ right, device) for _ in range(7))


def wrong(device: str) -> dict[str, str]:
    """Kernels that are not what their references are on this device, or not there."""
    from edge_sleep.ops import trial

    found = {}
    for kernel in compiled.KERNELS:
        if device != "cuda":
            found[kernel] = "no CUDA GPU"
            continue
        try:
            facts = trial.facts(kernel, device)
        except Exception as error:                     # whatever it is, that kernel is not timed
            found[kernel] = f"{type(error).__name__}: {error}"
            continue
        if not facts["off"] <= facts["allowed"]:
            found[kernel] = f"off by {facts['off']:.2g} times what rounding explains"
    return found


def measure(case: Case, device: str, bad: dict[str, str], rounds: int, copied: float, flops: float) -> list[dict]:
    calls, rows = {}, []
    for name in PEERS:
        if name not in case.calls:
            continue
        kernel = "softmax_tile" if case.op == "loss_head" else case.op
        try:
            if name == "kernel" and kernel in bad:
                raise RuntimeError(bad[kernel])
            if device != "cuda" and name in ("liger", "unsloth"):
                raise RuntimeError("no CUDA GPU")
            call = case.calls[name]()
            for _ in range(2):
                _once(call, device)
            calls[name] = call
        except Exception as error:                     # a peer may fail in any way; it is named, never left out
            rows.append({"op": case.op, "shape": case.shape, "who": name, "not_run": f"{error}" or type(error).__name__})
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(_once(call, device))
    for name, seconds in taken.items():
        low, middle, high = (statistics.quantiles(seconds, n=10)[place] for place in (1, 4, 7))
        rows.append({"op": case.op, "shape": case.shape, "who": name, "seconds_p20": low, "seconds_p50": middle,
                     "seconds_p80": high, "of_limit": max(case.bytes_moved / copied, case.flop / flops) / middle})
    return rows


def _as_text(row: dict) -> str:
    if "not_run" in row:
        return f"not run: {row['not_run']}"
    low, middle, high = (row[f"seconds_{name}"] * 1e6 for name in ("p20", "p50", "p80"))
    return f"{middle:9.0f} us ({low:.0f} to {high:.0f}), {row['of_limit']:.0%} of the limit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="256,512,2048")
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--intermediate", type=int, default=4864)
    parser.add_argument("--vocabulary", type=int, default=151936)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--only", help="operations, with commas")
    arguments = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    only = set((arguments.only or "nf4,rms_norm,swiglu,rope,softmax_tile,loss_head").split(","))
    bad = wrong(device)
    copied, flops = copy_bytes_per_second(device), product_flops(device, dtype)
    print(f"{device}, {str(dtype).removeprefix('torch.')}; a copy moves {copied / 1e9:.1f} GB/s, "
          f"a product does {flops / 1e9:.0f} GFLOP/s", flush=True)
    makers: list[tuple[str, Callable[[int], Case]]] = [
        ("rms_norm", lambda tokens: rms_norm(device, dtype, tokens, arguments.hidden)),
        ("swiglu", lambda tokens: swiglu(device, dtype, tokens, arguments.intermediate)),
        ("rope", lambda tokens: rope(device, dtype, tokens, arguments.hidden)),
        ("softmax_tile", lambda tokens: softmax_tile(device, dtype, tokens, 4096)),
        ("loss_head", lambda tokens: loss_head(device, dtype, tokens, arguments.hidden, arguments.vocabulary))]
    cases = [lambda: nf4(device, dtype, arguments.hidden, arguments.intermediate)] if "nf4" in only else []
    cases += [partial(make, tokens) for tokens in map(int, arguments.tokens.split(",")) for op, make in makers if op in only]
    results: list[dict] = []
    for make in cases:
        for row in measure(make(), device, bad, arguments.rounds, copied, flops):
            results.append(row)
            print(f"{row['op']:13} {row['shape']:16} {row['who']:13} {_as_text(row)}", flush=True)
    site = registry.Site(device, str(dtype).removeprefix("torch."))
    name = torch.cuda.get_device_name(0) if device == "cuda" else environment.processor()
    print(json.dumps({"benchmark": "kernels", "device": name, "dtype": site.dtype, "copy_bytes_per_second": copied,
                      "product_flops": flops,
                      "results": results,
                      "chosen": {op: registry.choose(op, site).implementation.name for op in registry.OPS},
                      "environment": environment.describe()}))


if __name__ == "__main__":
    main()
