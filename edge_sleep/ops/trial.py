"""One kernel, called on the device at hand and held to its reference: what a proof is made of (ops/proof.py).

Run in a process of its own, which a bad kernel may hang or end. Lines that begin with "at " say what comes next; the last
line is one JSON document.
"""
from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from edge_sleep.ops import elementwise, fused, loss, nf4, rope

# Of the norm, against float64: some roundings of 24, 11 and 8 bits one after another, each at most half a unit of the last.
ALLOWED = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
# (rows, width): one, odd, one that is no whole number of accesses, and shapes of a 0.5B model.
SHAPES = ((1, 8), (3, 37), (5, 64), (17, 896), (33, 1001))
_TIMED = (256, 896)
_REPEATS, _WARM = 20, 3


def facts(kernel: str, device: str, types: tuple[torch.dtype, ...] = tuple(ALLOWED),
          shapes: tuple[tuple[int, int], ...] = SHAPES) -> dict:
    """{"cases", "off" (in units of what rounding explains), "allowed": 1, "seconds": {"kernel", "pytorch"}} of one kernel."""
    of = _TRIALS[kernel]
    worst, cases = 0.0, 0
    for dtype in types:
        for shape in shapes:
            print(f"at {kernel} in {dtype} on {shape[0]} x {shape[1]}", flush=True)
            for got, want in of(torch.Generator().manual_seed(cases), device, dtype, *shape):
                worst = _larger(worst, _off(got, want) / ALLOWED[dtype])
            cases += 1
    print(f"at timing {kernel}", flush=True)
    timed = {name: _seconds(call, device) for name, call in _TIMES[kernel](device, types[-1]).items()}
    return {"cases": cases, "off": worst, "allowed": 1.0, "seconds": timed}


def main(kernel: str) -> None:
    print(json.dumps(facts(kernel, "cuda")))


def _larger(one: float, other: float) -> float:
    return other if math.isnan(other) or other > one else one


def _off(got: Tensor, want: Tensor) -> float:
    if got.shape != want.shape:
        return math.inf
    return ((got.double() - want.double()).norm() / want.double().norm().clamp_min(1e-30)).item()


def _seconds(call: Callable[[], Any], device: str) -> float:
    """Median time of a call, the device waited for."""
    taken = []
    for number in range(_WARM + _REPEATS):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        if number >= _WARM:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _reference(op: str) -> Any:
    return import_module(f"edge_sleep.kernels.{op}.reference")


def _draw(dice: torch.Generator, device: str, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(shape, generator=dice).to(dtype).to(device)


Pairs = list[tuple[Tensor, Tensor]]


def _gradients(ours: Callable[..., Tensor], reference: Callable[..., Tensor], inputs: list[Tensor], given: Tensor) -> Pairs:
    """Value and every gradient of both, the reference's in float64. Ours may write over its inputs: they are no leaves."""
    mine = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    exact = [tensor.detach().double().clone().requires_grad_() for tensor in inputs]
    out, want = ours(*(leaf * 1 for leaf in mine)), reference(*exact)
    out.backward(given)
    want.backward(given.double())
    found = [(out.detach(), want.detach())]
    for one, other in zip(mine, exact, strict=True):
        assert one.grad is not None and other.grad is not None
        found.append((one.grad, other.grad))
    return found


def _rms_norm(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    weight = (torch.rand(width, generator=dice) + 0.5).to(dtype).to(device)
    x, given = (_draw(dice, device, dtype, rows, width) for _ in range(2))
    return _gradients(lambda x: fused.rms_norm(x, weight, 1e-6),
                      lambda x: _reference("rms_norm").rms_norm(x, weight.double(), 1e-6), [x], given)


def _swiglu(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    gate, up, given = (_draw(dice, device, dtype, rows, width) for _ in range(3))
    return _gradients(fused.swiglu, _reference("swiglu").swiglu, [gate, up], given)


def _rope(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    size = max(2, width // 4 * 2)
    # As a projection leaves it: heads inside tokens.
    x, given = (_draw(dice, device, dtype, 2, rows, 3, size).transpose(1, 2) for _ in range(2))
    angles = torch.rand(2, rows, size // 2, generator=dice).mul(6).repeat(1, 1, 2)
    cosines, sines = (values.to(dtype).to(device) for values in (angles.cos(), angles.sin()))
    return _gradients(lambda x: fused.rotate(x, cosines, sines),
                      lambda x: _reference("rope").rotate(x, cosines.double(), sines.double()), [x], given)


def _softmax_tile(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    tile = _draw(dice, device, dtype, rows, width).mul_(3)
    targets = torch.randint(0, 3 * width, (rows,), generator=dice).to(device)
    top, total = (torch.rand(rows, 1, generator=dice).to(device) * 3 for _ in range(2))
    sums = loss.Sums(top.clone(), total.clone(), torch.zeros_like(top))
    before = (top.double()[:, 0], total.double()[:, 0], torch.zeros(rows, dtype=torch.float64, device=device))
    want = _reference("linear_cross_entropy").softmax_tile(tile.double(), targets, width, *before)
    shrink = fused.softmax_tile(tile, targets, width, sums, loss.Space(tile, loss.DenseHead(tile.t()), rows), True)
    return list(zip((tile, sums.top[:, 0], sums.total[:, 0], sums.chosen[:, 0], shrink[:, 0]), want, strict=True))


class _Weight:
    """As bitsandbytes' Params4bit holds it."""

    def __init__(self, weight: Tensor, nested: bool = True):
        reference = _reference("nf4")
        held = reference.quantise(weight, nested=nested)
        self.data, self.device = held.packed, weight.device
        above = SimpleNamespace(code=held.table, absmax=held.nested_scales, blocksize=reference.NESTED)
        self.quant_state: Any = SimpleNamespace(
            quant_type="nf4", absmax=held.scales, shape=torch.Size(held.shape), dtype=held.dtype, blocksize=held.block,
            nested=nested, state2=above, offset=held.offset)


def _nf4(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    """Bit for bit: any difference is one too many."""
    pairs = []
    for nested in (True, False):
        weight = _Weight(_draw(dice, "cpu", dtype, rows, width), nested)
        want = nf4.in_pytorch(weight, dtype)
        got = nf4.with_kernel(_moved(weight, device), dtype)
        pairs.append((torch.tensor(float(torch.equal(got.cpu(), want))), torch.ones(())))
    return pairs


def _moved(weight: _Weight, device: str) -> _Weight:
    """The same weight on another device, quantised where it was: a GPU may round a mean in another order."""
    state = weight.quant_state
    weight.data, weight.device = weight.data.to(device), torch.device(device)
    state.absmax = state.absmax.to(device)
    if state.nested:
        state.offset = state.offset.to(device)
        state.state2.code, state.state2.absmax = state.state2.code.to(device), state.state2.absmax.to(device)
    return weight


def _bitsandbytes(dice: torch.Generator, device: str, dtype: torch.dtype, rows: int, width: int) -> Pairs:
    """Its own code on the device, both ways: what it quantised it makes readable as the reference does."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = _draw(dice, device, dtype, rows, width)
    packed, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    got = dequantize_4bit(packed, state).reshape(rows, width)
    reference = _reference("nf4")
    if not _off(got, weight) < 0.25:               # NF4 rounds normal weights by some 9 % of their norm
        raise ArithmeticError(f"what it quantised is off by {_off(got, weight):.0%}")
    return [(got, reference.dequantise(reference.of_state(packed, state)))]


def _both(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], inputs: list[Tensor], given: Tensor) -> dict[str, Callable]:
    def pass_of(function: Callable[..., Tensor]) -> Callable[[], None]:
        return lambda: function(*(value.detach().requires_grad_() * 1 for value in inputs)).backward(given)

    return {"kernel": pass_of(ours), "pytorch": pass_of(theirs)}


def _timed_rms_norm(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    x, given = (torch.randn(_TIMED, dtype=dtype, device=device) for _ in range(2))
    weight = torch.ones(_TIMED[1], dtype=dtype, device=device)
    return _both(lambda x: fused.rms_norm(x, weight, 1e-6), lambda x: elementwise.rms_norm(x, weight, 1e-6), [x], given)


def _timed_swiglu(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    gate, up, given = (torch.randn(_TIMED, dtype=dtype, device=device) for _ in range(3))
    return _both(fused.swiglu, elementwise.swiglu, [gate, up], given)


def _timed_rope(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    x, given = (torch.randn(1, _TIMED[0], 14, 64, dtype=dtype, device=device).transpose(1, 2) for _ in range(2))
    angles = torch.rand(1, _TIMED[0], 64, device=device)
    cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)
    return _both(lambda x: fused.rotate(x, cosines, sines), lambda x: rope.rotate(x, cosines, sines), [x], given)


def _timed_softmax_tile(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    logits = torch.randn(_TIMED[0], 4096, dtype=dtype, device=device)
    targets = torch.zeros(_TIMED[0], dtype=torch.long, device=device)
    space = loss.Space(logits, loss.DenseHead(logits.t()), _TIMED[0])
    sums = loss.Sums(*(torch.zeros(_TIMED[0], 1, device=device) for _ in range(3)))
    return {"kernel": lambda: fused.softmax_tile(logits, targets, 0, sums, space, True),
            "pytorch": lambda: loss.softmax_tile(logits, targets, 0, sums, space, True)}


def _timed_nf4(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    weight = _moved(_Weight(torch.randn(_TIMED).to(dtype)), device)
    return {"kernel": lambda: nf4.with_kernel(weight, dtype), "pytorch": lambda: nf4.in_pytorch(weight, dtype)}


def _timed_bitsandbytes(device: str, dtype: torch.dtype) -> dict[str, Callable]:
    weight = _moved(_Weight(torch.randn(_TIMED).to(dtype)), device)
    from bitsandbytes.functional import quantize_4bit

    theirs, source = _Weight(torch.randn(64, 64)), torch.randn(_TIMED).to(dtype).to(device)
    theirs.data, theirs.quant_state = quantize_4bit(source, quant_type="nf4", compress_statistics=True)
    return {"kernel": lambda: nf4.with_bitsandbytes(theirs, dtype), "pytorch": lambda: nf4.in_pytorch(weight, dtype)}


_TRIALS: dict[str, Callable[..., Pairs]] = {"nf4": _nf4, "rms_norm": _rms_norm, "swiglu": _swiglu, "rope": _rope,
                                            "softmax_tile": _softmax_tile, "bitsandbytes": _bitsandbytes}
_TIMES: dict[str, Callable[[str, torch.dtype], dict[str, Callable]]] = {
    "nf4": _timed_nf4, "rms_norm": _timed_rms_norm, "swiglu": _timed_swiglu, "rope": _timed_rope,
    "softmax_tile": _timed_softmax_tile, "bitsandbytes": _timed_bitsandbytes}
