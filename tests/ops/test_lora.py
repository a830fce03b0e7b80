"""A 4-bit layer with its adapter against the formula on the weight made readable: every gradient, every form."""
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from edge_sleep.kernels.lora_linear import reference as lora_reference
from torch.nn import functional

from edge_sleep.ops.lora import frozen_linear, lora_linear
from edge_sleep.ops.nf4 import dequantise

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}          # float32, products added in another order


def layer(inputs=64, outputs=96, bias=True, dtype=torch.float32):
    torch.manual_seed(0)
    made = Linear4bit(inputs, outputs, bias=bias, compute_dtype=dtype, quant_type="nf4", compress_statistics=True)
    return made.to(dtype).to("cpu").requires_grad_(False)


def case(rank=4, dtype=torch.float32, **of_layer):
    made = layer(dtype=dtype, **of_layer)
    dice = torch.Generator().manual_seed(1)
    inputs, outputs = made.in_features, made.out_features
    x = torch.randn(3, 7, inputs, generator=dice).to(dtype).requires_grad_()
    a, b = (torch.randn(shape, generator=dice).mul(0.2).requires_grad_() for shape in ((rank, inputs), (outputs, rank)))
    return made, x, a, b, torch.randn(3, 7, outputs, generator=dice).to(dtype)


def reference(made, x, a, b, scale):
    bias = None if made.bias is None else made.bias.to(x.dtype)
    return lora_reference.lora_linear(x, dequantise(made.weight, x.dtype), bias, a, b, scale)


@pytest.mark.parametrize("rank", [1, 4, 16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", [{}, {"keep": True}, {"last": True}, {"last": True, "keep": True}])
def test_output_and_every_gradient(rank, bias, form):
    made, x, a, b, given = case(rank, bias=bias)
    out = lora_linear(x, made.weight, made.bias, a, b, 0.5, **form)
    out.backward(given)
    found = [tensor.grad for tensor in (x, a, b)]
    for tensor in (x, a, b):
        tensor.grad = None
    want = reference(made, x, a, b, 0.5)
    want.backward(given)
    torch.testing.assert_close(out, want, **TOLERANCE)
    for mine, tensor in zip(found, (x, a, b), strict=True):
        torch.testing.assert_close(mine, tensor.grad, **TOLERANCE)


@pytest.mark.parametrize("keep", [True, False])
def test_without_an_adapter(keep):
    made, x, _, _, given = case()
    out = frozen_linear(x, made.weight, made.bias, keep=keep)
    out.backward(given)
    torch.testing.assert_close(out, functional.linear(x, dequantise(made.weight, torch.float32), made.bias), **TOLERANCE)
    torch.testing.assert_close(x.grad, given @ dequantise(made.weight, torch.float32), **TOLERANCE)


def test_dropout_leaves_out_inputs_of_the_adapter_alone():
    made, x, a, b, _ = case()
    torch.manual_seed(5)
    out = lora_linear(x, made.weight, made.bias, a, b, 0.5, dropout=0.5)
    torch.manual_seed(5)
    want = reference(made, x, a, b, 0.0) + 0.5 * (functional.dropout(x, 0.5) @ a.t()) @ b.t()
    torch.testing.assert_close(out, want, **TOLERANCE)
    out.sum().backward()
    assert torch.isfinite(x.grad).all() and a.grad.abs().max() > 0


def test_masters_stay_float32_and_no_float32_copy_of_the_input_is_made():
    made, x, a, b, given = case(dtype=torch.bfloat16)
    with torch.profiler.profile(profile_memory=True, record_shapes=True) as profile:
        lora_linear(x, made.weight, made.bias, a, b, 0.5).backward(given)
    assert x.grad.dtype == torch.bfloat16 and a.grad.dtype == b.grad.dtype == torch.float32
    casts = [event for event in profile.events() if event.name == "aten::_to_copy" and event.input_shapes[:1] == [list(x.shape)]]
    assert casts == []
    exact = [tensor.detach().clone().requires_grad_() for tensor in (x.float(), a, b)]
    reference(made, *exact, 0.5).backward(given.float())
    for mine, want in zip((x, a, b), exact, strict=True):
        # Three products of 8-bit mantissas: some 2^-8 of the norm.
        assert (mine.grad.float() - want.grad).norm() < 0.01 * want.grad.norm()
