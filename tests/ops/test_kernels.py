"""Every kernel against its reference in float64, value and every gradient: on a played GPU everywhere, on a real one where there is one."""
import math

import pytest
import torch

from edge_sleep.ops import compiled, fused, loss, trial
from edge_sleep.ops.proof import judged
from tests.ops.played import played  # noqa: F401

KERNELS = [name for name in compiled.KERNELS]
TYPES = list(trial.ALLOWED)


@pytest.fixture(params=["played", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """"cpu" with a played GPU, or "cuda" with kernels that were compiled for it."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA GPU here")
        architecture = compiled.architecture_of(0)
        if any(compiled.find(kernel, architecture) is None for kernel in KERNELS):
            pytest.skip(f"not compiled for {architecture}: edge-sleep kernels build")
        return "cuda"
    request.getfixturevalue("played")
    return "cpu"


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory holds NaN, so that a value which is not written shows."""
    plain, alike = torch.empty, torch.empty_like

    def poison(made: torch.Tensor) -> torch.Tensor:
        return made.fill_(math.nan) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", lambda *given, **more: poison(plain(*given, **more)))
    monkeypatch.setattr(torch, "empty_like", lambda *given, **more: poison(alike(*given, **more)))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize(("rows", "width"), trial.SHAPES)
def test_value_and_every_gradient(device: str, kernel: str, dtype: torch.dtype, rows: int, width: int) -> None:
    """Tolerance: trial.ALLOWED, some roundings of the type; a wrong index or a missing term is off by tens of percent."""
    pairs = trial._TRIALS[kernel](torch.Generator().manual_seed(rows), device, dtype, rows, width)
    assert len(pairs) >= 2
    for place, (got, want) in enumerate(pairs):
        assert trial._off(got, want) <= trial.ALLOWED[dtype], f"result {place}"


@pytest.mark.parametrize("kernel", ["rms_norm", "swiglu", "rope"])
def test_rows_that_begin_anywhere(device: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that does not begin on 16 bytes goes value by value."""
    draw = trial._draw

    def shifted(dice: torch.Generator, place: str, dtype: torch.dtype, *shape: int) -> torch.Tensor:
        values = draw(dice, place, dtype, *shape)
        room = torch.zeros(values.numel() + 1, dtype=dtype, device=place)
        return room[1:].copy_(values.flatten()).view(shape)

    monkeypatch.setattr(trial, "_draw", shifted)
    for got, want in trial._TRIALS[kernel](torch.Generator().manual_seed(0), device, torch.bfloat16, 3, 64):
        assert trial._off(got, want) <= trial.ALLOWED[torch.bfloat16]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_trial_ends_in_a_proof(device: str, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `kernels list` runs it, times included; small, since a played GPU is slow."""
    if device == "cpu":
        for name, value in {"_TIMED": (2, 40), "_REPEATS": 1, "_WARM": 0}.items():
            monkeypatch.setattr(trial, name, value)
    facts = trial.facts(kernel, device, (torch.bfloat16,), ((3, 37),))
    assert facts["off"] <= 1 and facts["cases"] == 1 and all(seconds > 0 for seconds in facts["seconds"].values())
    assert judged({**facts, "seconds": {"kernel": 1.0, "pytorch": 2.0}}, "").ok


def test_a_wrong_kernel_is_seen(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial itself: a kernel that leaves its output alone, and one that gives another layer's values."""
    monkeypatch.setattr(trial, "_seconds", lambda call, device: 0.0)           # a played GPU's time says nothing
    real = compiled.call
    monkeypatch.setattr(compiled, "call", lambda kernel, function, like, *rest: None)
    assert not trial.facts("rms_norm", device, (torch.float32,), ((2, 8),))["off"] <= 1
    monkeypatch.setattr(compiled, "call", lambda kernel, function, like, *rest: real(kernel, function, like, *rest[:6], 0.5, *rest[7:])
                        if function == "edge_sleep_rms_norm" else real(kernel, function, like, *rest))
    assert trial.facts("rms_norm", device, (torch.float32,), ((2, 8),))["off"] > 1


def test_one_wrong_bit_of_nf4_is_seen(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trial.nf4.with_kernel

    def almost(weight: object, dtype: torch.dtype) -> torch.Tensor:
        found = real(weight, dtype)
        found.view(-1)[0] += found.abs().max() / 128
        return found

    monkeypatch.setattr(trial.nf4, "with_kernel", almost)
    for got, want in trial._TRIALS["nf4"](torch.Generator().manual_seed(0), device, torch.bfloat16, 33, 1001):
        assert trial._off(got, want) > trial.ALLOWED[torch.bfloat16]


def test_the_loss_is_that_of_plain_tiles(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven tiles of 16 and one of 5, logits of 40 between them, a target of weight zero."""
    from edge_sleep.ops import sizes

    monkeypatch.setattr(sizes, "TILE", 16)
    dice = torch.Generator().manual_seed(3)
    hidden, head = torch.randn(11, 8, generator=dice).to(device), torch.randn(117, 8, generator=dice).to(device)
    bias, targets = torch.linspace(-20, 20, 117).to(device), torch.randint(117, (11,), generator=dice).to(device)
    weights = torch.rand(11, generator=dice).to(device)
    weights[3] = 0
    found = []
    for implementation in (fused.chunked_cross_entropy, loss.chunked_cross_entropy):
        leaf = hidden.clone().requires_grad_()
        value = implementation(leaf, head, targets, weights, denominator=4.0, chunk=5, bias=bias)
        value.backward()
        found.append((value.detach(), leaf.grad))
    # The same float32 terms added in another order.
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)


def test_what_a_kernel_does_not_take_goes_the_way_of_pytorch(device: str) -> None:
    x = torch.randn(4, 6, dtype=torch.float64, device=device)
    assert fused.rms_norm(x, torch.ones(6, dtype=torch.float64, device=device), 1e-6).dtype == torch.float64
    across = torch.randn(6, 4, device=device).t()
    torch.testing.assert_close(fused.rms_norm(across, torch.ones(6, device=device), 1e-6),
                               fused.rms_norm(across.contiguous(), torch.ones(6, device=device), 1e-6))
    assert fused.rms_norm(torch.empty(0, 6, device=device), torch.ones(6, device=device), 1e-6).shape == (0, 6)


def test_a_row_with_nan_stays_one(device: str) -> None:
    """A broken activation must reach the loop's check, not become a number."""
    tile = torch.randn(2, 40, device=device)
    tile[0, 7] = math.nan
    sums = loss.Sums(torch.full((2, 1), -math.inf, device=device), *(torch.zeros(2, 1, device=device) for _ in range(2)))
    fused.softmax_tile(tile, torch.tensor([1, 2], device=device), 0, sums, loss.Space(tile, loss.DenseHead(tile), 2), False)
    assert sums.total[0].isnan() and sums.total[1].isfinite()
