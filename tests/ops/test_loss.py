"""The chunked head against full logits, in float32: loss and every gradient, masked and weighted."""
import pytest
import torch
from edge_sleep.benchmarks.peak import Peak

from edge_sleep.ops import sizes
from edge_sleep.ops.loss import DenseHead, chunked_cross_entropy, reference_cross_entropy, token_losses

# Both sum the same float32 terms (values to 10, eps 6e-8) in another order: 1e-6 absolute where terms cancel.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def inputs(tokens, hidden, vocabulary, seed=0, bias=False):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(tokens, hidden, generator=generator)
    head = torch.randn(vocabulary, hidden, generator=generator)
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    weights = torch.rand(tokens, generator=generator) + 0.1
    return states, head, targets, weights, torch.randn(vocabulary, generator=generator) if bias else None


@pytest.mark.parametrize(("tokens", "hidden", "vocabulary", "chunk"),
                         [(1, 3, 5, 1), (7, 16, 33, 3), (64, 32, 1000, 64), (65, 32, 1000, 64), (10, 8, 11, 128)])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_full_logits(tokens, hidden, vocabulary, chunk, bias):
    states, head, targets, weights, offset = inputs(tokens, hidden, vocabulary, bias=bias)
    ours, theirs = states.clone().requires_grad_(), states.clone().requires_grad_()
    denominator = weights.sum().item()
    loss = chunked_cross_entropy(ours, head, targets, weights, denominator=denominator, chunk=chunk, bias=offset)
    oracle = reference_cross_entropy(theirs, head, targets, weights, denominator=denominator, bias=offset)
    (3 * loss).backward()
    (3 * oracle).backward()
    torch.testing.assert_close(loss, oracle, **TOLERANCE)
    torch.testing.assert_close(ours.grad, theirs.grad, **TOLERANCE)


@pytest.mark.parametrize("order", ["rising", "falling", "random"])
@pytest.mark.parametrize("chunk", [5, 64])
def test_tiles_of_the_vocabulary_add_up_whatever_logit_comes_first(monkeypatch, order, chunk):
    """Seven tiles; what was summed is scaled whenever a larger logit comes, here by up to e^100."""
    monkeypatch.setattr(sizes, "TILE", 16)
    states, head, targets, weights, bias = inputs(11, 8, 101, bias=True)
    if order != "random":
        bias = torch.linspace(-50, 50, 101) * (1 if order == "rising" else -1)
    ours, theirs = states.clone().requires_grad_(), states.clone().requires_grad_()
    loss = chunked_cross_entropy(ours, head, targets, weights, denominator=4.0, chunk=chunk, bias=bias)
    oracle = reference_cross_entropy(theirs, head, targets, weights, denominator=4.0, bias=bias)
    loss.backward()
    oracle.backward()
    torch.testing.assert_close(loss, oracle, **TOLERANCE)
    torch.testing.assert_close(ours.grad, theirs.grad, **TOLERANCE)
    each = token_losses(states, DenseHead(head, bias), targets, chunk)
    torch.testing.assert_close((each * weights).sum() / 4.0, oracle.detach(), **TOLERANCE)


@pytest.mark.parametrize("chunk", [64, 1024])
def test_of_the_logits_one_tile_is_there_at_a_time(chunk):
    """By the allocator's count: 512 tokens of a vocabulary of 50,000 would be 98 MiB of logits in float32."""
    states, head, targets, weights, _ = inputs(512, 8, 50_000)
    states.requires_grad_()
    counted = Peak()
    with counted.window():
        chunked_cross_entropy(states, head, targets, weights, denominator=1.0, chunk=chunk).backward()
    assert counted.bytes < 2.2 * min(chunk, 512) * sizes.TILE * 4


def test_a_token_of_weight_zero_teaches_nothing():
    states, head, targets, weights, _ = inputs(6, 8, 20)
    weights[2] = 0
    states.requires_grad_()
    chunked_cross_entropy(states, head, targets, weights, denominator=1.0, chunk=4).backward()
    assert states.grad[2].abs().max() == 0
    assert states.grad[1].abs().max() > 0


def test_accumulated_parts_equal_the_whole_batch():
    states, head, targets, weights, _ = inputs(12, 8, 20)
    denominator = weights.sum().item()
    whole, parts = states.clone().requires_grad_(), states.clone().requires_grad_()
    chunked_cross_entropy(whole, head, targets, weights, denominator=denominator).backward()
    for part in (slice(0, 5), slice(5, 12)):
        chunked_cross_entropy(parts[part], head, targets[part], weights[part], denominator=denominator).backward()
    torch.testing.assert_close(parts.grad, whole.grad, **TOLERANCE)


def test_gradient_is_that_of_finite_differences():
    states, head, targets, weights, _ = inputs(3, 4, 7)
    states, head, weights = states.double().requires_grad_(), head.double(), weights.double()
    oracle = lambda hidden: reference_cross_entropy(hidden, head, targets, weights, denominator=2.0)  # noqa: E731
    (analytic,) = torch.autograd.grad(
        chunked_cross_entropy(states, head, targets, weights, denominator=2.0, chunk=2), states)
    step = 1e-3
    for row, column in ((0, 0), (1, 3), (2, 2)):
        nudged = torch.zeros_like(states)
        nudged[row, column] = step
        numeric = (oracle(states + nudged) - oracle(states - nudged)) / (2 * step)
        # The inside of the loss is float32: 1e-3 steps leave about 1e-4 of rounding.
        assert analytic[row, column].item() == pytest.approx(numeric.item(), abs=5e-4)
