"""Rows in int8: the rounding error is what the formula allows, and the head computes what its readable rows would."""
import pytest
import torch

from edge_sleep.ops.int8 import Int8Head, quantise_rows
from edge_sleep.ops.loss import DenseHead, chunked_cross_entropy, reference_cross_entropy, token_losses


def table(rows=50, width=24):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 3, rows)[:, None]


def test_no_value_is_off_by_more_than_half_a_step():
    weight = table()
    values, scales = quantise_rows(weight)
    assert values.dtype == torch.int8 and values.abs().max() <= 127
    assert ((values * scales[:, None] - weight).abs() <= 0.5001 * scales[:, None]).all()


def test_a_row_of_zeros_stays_zero():
    values, scales = quantise_rows(torch.zeros(2, 4))
    assert not values.any() and torch.isfinite(scales).all()


@pytest.mark.parametrize("chunk", [3, 64])
def test_the_head_in_int8_is_the_head_of_its_readable_rows(chunk):
    weight = table() / table().norm(dim=-1, keepdim=True)
    head = Int8Head(*quantise_rows(weight), torch.float32)
    readable = head.lookup(torch.arange(50))
    hidden = torch.randn(9, 24, generator=torch.Generator().manual_seed(1))
    ours, theirs = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    targets, weights = torch.arange(9) * 5, torch.rand(9, generator=torch.Generator().manual_seed(2))
    loss = chunked_cross_entropy(ours, head, targets, weights, denominator=3.0, chunk=chunk)
    oracle = reference_cross_entropy(theirs, readable, targets, weights, denominator=3.0)
    loss.backward()
    oracle.backward()
    torch.testing.assert_close(loss, oracle, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close((token_losses(hidden, head, targets, chunk) * weights).sum() / 3.0, oracle.detach(), rtol=1e-5, atol=1e-6)


def test_token_losses_of_nothing_are_none():
    assert token_losses(torch.empty(0, 4), DenseHead(torch.randn(7, 4)), torch.empty(0, dtype=torch.long), 8).shape == (0,)
