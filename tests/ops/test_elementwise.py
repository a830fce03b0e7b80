"""RMSNorm and SwiGLU against their formulas by autograd."""
import pytest
import torch
from edge_sleep.kernels.rms_norm import reference as norm_reference
from edge_sleep.kernels.swiglu import reference as gate_reference

from edge_sleep.ops import sizes
from edge_sleep.ops.elementwise import rms_norm, swiglu

TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}          # float32, sums in another order


@pytest.fixture(autouse=True, params=[sizes.ROWS_BYTES, 64])
def few_rows_at_a_time(request, monkeypatch):
    monkeypatch.setattr(sizes, "ROWS_BYTES", request.param)


@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 5, 16), (33, 24)])
def test_the_norm_and_its_gradient(shape):
    dice = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(shape, generator=torch.Generator().manual_seed(1)).mul(3).requires_grad_() for _ in range(2))
    weight, given = torch.rand(shape[-1], generator=dice) + 0.5, torch.randn(shape, generator=dice)
    out, want = rms_norm(ours, weight, 1e-6), norm_reference.rms_norm(theirs, weight, 1e-6)
    torch.testing.assert_close(out, want, **TOLERANCE)
    out.backward(given)
    want.backward(given)
    torch.testing.assert_close(ours.grad, theirs.grad, **TOLERANCE)


def test_a_row_of_zeros_has_a_finite_gradient():
    x = torch.zeros(2, 8, requires_grad=True)
    rms_norm(x, torch.ones(8), 1e-6).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 5, 16), (33, 24)])
def test_the_gate_and_its_gradients(shape):
    leaves = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (1, 2, 1, 2)]
    given = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    # The backward pass writes over its inputs: they are the outputs of other layers, never leaves.
    out = swiglu(leaves[0] * 1.0, leaves[1] * 1.0)
    want = gate_reference.swiglu(leaves[2], leaves[3])
    torch.testing.assert_close(out, want, **TOLERANCE)
    out.backward(given)
    want.backward(given)
    for mine, other in zip(leaves[:2], leaves[2:], strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **TOLERANCE)


def test_bfloat16_is_rounded_as_the_models_round_it():
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    weight = torch.rand(32, generator=torch.Generator().manual_seed(1)).bfloat16()
    want = weight * (x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)).bfloat16()
    assert torch.equal(rms_norm(x, weight, 1e-6), want)
