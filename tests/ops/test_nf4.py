"""NF4 of ours and bitsandbytes', both ways and bit for bit; what either wrote the other reads."""
import math

import pytest
import torch

from edge_sleep.model.base import _import_bitsandbytes

_import_bitsandbytes()                                 # without its compiled forms, as a night imports it

from bitsandbytes import functional as theirs  # noqa: E402
from bitsandbytes.functional import QuantState  # noqa: E402
from edge_sleep.kernels.nf4 import reference  # noqa: E402
from hypothesis import given, settings, strategies  # noqa: E402

from edge_sleep.ops import nf4, trial  # noqa: E402
from tests.ops.played import played  # noqa: E402, F401

TYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [(1, 1), (3, 5), (2, 33), (1, 64), (17, 129), (64, 96), (200, 333)]


def weight_of(shape, dtype, seed=0):
    """Values of every size, a block of zeros where there is room, and the largest that fits."""
    dice = torch.Generator().manual_seed(seed)
    made = torch.randn(shape, generator=dice) * torch.rand(shape, generator=dice).square() * 3
    flat = made.view(-1)
    if flat.numel() > 256:
        flat[64:128] = 0
        flat[130] = 1000.0
    return made.to(dtype)


def bits(tensor):
    return tensor.contiguous().view(torch.uint8)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nested", [True, False])
def test_both_quantise_to_the_same_bits(shape, dtype, nested):
    weight = weight_of(shape, dtype)
    ours = reference.quantise(weight, nested=nested)
    packed, state = theirs.quantize_4bit(weight, quant_type="nf4", compress_statistics=nested)
    assert torch.equal(ours.packed, packed.view(-1)) and torch.equal(bits(ours.scales), bits(state.absmax))
    if nested:
        assert torch.equal(bits(ours.nested_scales), bits(state.state2.absmax)) and torch.equal(ours.table, state.state2.code)
        assert ours.offset.item() == state.offset.item()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nested", [True, False])
def test_theirs_is_read_by_ours_to_the_same_bits(played, shape, dtype, nested):  # noqa: F811
    packed, state = theirs.quantize_4bit(weight_of(shape, dtype), quant_type="nf4", compress_statistics=nested)
    want = theirs.dequantize_4bit(packed, state).reshape(shape)
    weight = type("Weight", (), {"data": packed, "quant_state": state, "device": packed.device})
    for ours in (nf4.in_pytorch, nf4.with_kernel):
        assert torch.equal(bits(ours(weight, dtype)), bits(want)), ours
    # Into another type: by way of the one it was quantised from, as bitsandbytes does it.
    for other in TYPES:
        assert torch.equal(bits(nf4.with_kernel(weight, other)), bits(want.to(other)))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_ours_is_read_by_theirs_through_a_checkpoint(dtype, tmp_path):
    """Saved under bitsandbytes' names, loaded by bitsandbytes, made readable by it."""
    from safetensors.torch import load_file, save_file

    weight = weight_of((48, 80), dtype)
    ours = reference.quantise(weight)
    above = QuantState(absmax=ours.nested_scales, code=ours.table, blocksize=reference.NESTED, dtype=torch.float32)
    state = QuantState(absmax=ours.scales, shape=weight.shape, code=theirs.get_4bit_type("nf4", device="cpu"), blocksize=ours.block,
                       quant_type="nf4", dtype=dtype, offset=ours.offset, state2=above)
    save_file({"weight": ours.packed[:, None].contiguous(), **state.as_dict(packed=True)}, tmp_path / "w.safetensors")
    loaded = load_file(tmp_path / "w.safetensors")
    read = QuantState.from_dict({name: value for name, value in loaded.items() if name != "weight"}, torch.device("cpu"))
    assert torch.equal(bits(theirs.dequantize_4bit(loaded["weight"], read)), bits(reference.dequantise(ours)))
    assert torch.equal(bits(reference.dequantise(reference.of_state(loaded["weight"], read))), bits(reference.dequantise(ours)))


@settings(max_examples=40)
@given(strategies.lists(strategies.floats(-2.0 ** 100, 2.0 ** 100, width=32, allow_subnormal=False), min_size=1, max_size=200), strategies.booleans())
def test_any_values_have_the_same_bits(values, nested):
    weight = torch.tensor(values, dtype=torch.float32)[None]
    packed, state = theirs.quantize_4bit(weight, quant_type="nf4", compress_statistics=nested)
    ours = reference.quantise(weight, nested=nested)
    assert torch.equal(ours.packed, packed.view(-1)) and torch.equal(bits(ours.scales), bits(state.absmax))
    assert torch.equal(bits(reference.dequantise(ours)), bits(theirs.dequantize_4bit(packed, state).reshape(weight.shape)))


def test_no_value_is_off_by_more_than_half_a_step():
    """NF4's widest step is .3038 of a block's largest value; the scale itself is rounded to 8 bits of a dynamic type."""
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    largest = weight.view(-1, 64).abs().amax(1).repeat_interleave(64).view(64, 64)
    assert ((reference.dequantise(reference.quantise(weight, nested=False)) - weight).abs() <= 0.1520 * largest).all()
    assert ((reference.dequantise(reference.quantise(weight)) - weight).abs() <= 0.17 * largest).all()


def test_another_code_is_refused_by_name():
    packed, state = theirs.quantize_4bit(torch.randn(4, 64), quant_type="fp4")
    with pytest.raises(ValueError, match="the weight is in fp4"):
        reference.of_state(packed, state)


def test_what_is_not_written_shows(played, monkeypatch):  # noqa: F811
    """The last values of an odd count, in memory that held NaN; and nothing beyond them."""
    weight = trial._Weight(torch.randn(1, 77))
    room = torch.full((96,), math.nan)
    monkeypatch.setattr(torch, "empty", lambda shape, **_: room[:77].view(shape))
    got = nf4.with_kernel(weight, torch.float32)
    assert got.isfinite().all() and room[77:].isnan().all()
