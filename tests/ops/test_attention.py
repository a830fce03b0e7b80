"""Blocked attention against all scores at once: values and every gradient, shared heads, packed rows, odd lengths."""
import pytest
import torch

from edge_sleep.ops import sizes
from edge_sleep.ops.attention import blocked_attention, reference_attention

# The same float32 sums in another order; keys are centred first, which cancels in exact arithmetic only.
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}


def inputs(batch, heads, groups, length, size, dtype=torch.float32, seed=0, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(batch, count, length, size, generator=generator) for count in (heads, groups, groups))
    return [tensor.to(dtype).requires_grad_() for tensor in (query, key + offset, value)]


def packed_mask(batch, length, at):
    """Two examples in a row: the second begins at `at`."""
    place = torch.arange(length)
    same = (place[:, None] >= at) == (place[None, :] >= at)
    return (same & torch.ones(length, length, dtype=torch.bool).tril()).expand(batch, 1, length, length)


@pytest.mark.parametrize(("batch", "heads", "groups", "length", "size"),
                         [(1, 2, 1, 1, 4), (2, 4, 2, 37, 8), (1, 6, 2, 129, 16), (2, 3, 3, 300, 8), (1, 14, 2, 256, 64)])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_equals_all_scores_at_once(batch, heads, groups, length, size, packed, keep):
    mask = packed_mask(batch, length, max(1, length // 3)) if packed else None
    ours, theirs = inputs(batch, heads, groups, length, size), inputs(batch, heads, groups, length, size)
    scale = size ** -0.5
    out = blocked_attention(*ours, mask=mask, scale=scale, keep=keep)
    want = reference_attention(*theirs, mask=mask, scale=scale)
    torch.testing.assert_close(out, want, **TOLERANCE)
    given = torch.randn(want.shape, generator=torch.Generator().manual_seed(1))
    out.backward(given)
    want.backward(given)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **TOLERANCE)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    found = []
    for block in (16, 50, 4096):
        monkeypatch.setattr(sizes, "BLOCK", block)
        found.append(blocked_attention(*inputs(1, 4, 2, 100, 8), scale=0.3))
    torch.testing.assert_close(found[0], found[2], **TOLERANCE)
    torch.testing.assert_close(found[1], found[2], **TOLERANCE)


def test_a_query_never_sees_what_comes_later():
    query, key, value = inputs(1, 2, 1, 200, 8)
    before = blocked_attention(query, key, value, scale=0.3)[:, :150].detach()
    with torch.no_grad():
        value[:, :, 150:] = 1e4
    after = blocked_attention(query, key, value, scale=0.3)
    assert torch.equal(after[:, :150], before) and after[:, 150:].abs().max() > 100


def test_large_key_biases_do_not_drown_in_bfloat16():
    """All keys far from the origin, as Qwen2's are: their common part must not cost the scores their digits."""
    exact = inputs(1, 2, 1, 64, 16, offset=40.0)
    want = reference_attention(*exact, scale=0.25)
    rounded = [tensor.detach().bfloat16() for tensor in exact]
    rounded_want = reference_attention(*(tensor.float() for tensor in rounded), scale=0.25)
    got = blocked_attention(*rounded, scale=0.25).float()
    # What is left is the rounding of scores of about 1 and of the output (2^-9 each), not of scores of 40.
    assert (got - rounded_want).norm() < 0.02 * rounded_want.norm()
    naive = reference_attention(*rounded, scale=0.25).float()
    assert (naive - rounded_want).norm() > 2 * (got - rounded_want).norm()
    assert want.shape == got.shape


def test_probabilities_are_kept_where_they_are_few():
    assert sizes.kept_bytes(1, 14, 512, 2) == 14 * 2 * 128 * (128 + 256 + 384 + 512)
    assert sizes.kept_bytes(4, 14, 1024, 2) == 0


def test_padding_that_sees_nothing_spoils_nothing():
    """Beyond a sliding window a row's padding may see no key: finite, and the others' values and gradients as without it."""
    length, real, window = 20, 9, 4
    place = torch.arange(length)
    seen = (place[:, None] >= place) & (place[:, None] - place < window) & (place < real)
    assert not seen[real + window:].any()
    ours, theirs = inputs(1, 2, 1, length, 8), inputs(1, 2, 1, length, 8)
    out = blocked_attention(*ours, mask=seen.expand(1, 1, length, length), scale=0.3)
    want = reference_attention(*(tensor[:, :, :real] for tensor in theirs), mask=seen[:real, :real].expand(1, 1, real, real), scale=0.3)
    assert out.isfinite().all()
    torch.testing.assert_close(out[:, :real], want, **TOLERANCE)
    given = torch.zeros_like(out)
    given[:, :real] = torch.randn(want.shape, generator=torch.Generator().manual_seed(1))
    out.backward(given)
    want.backward(given[:, :real])
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **TOLERANCE)
