from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.export.fidelity import Bars, Canary, Fidelity, compare, divergence, verdict

WHOLE = Fidelity(tokens=100, kl=0.0, top1=1.0, nll_judged=2.0, nll_artefact=2.0, moved=0.2)


@pytest.mark.parametrize("changed, passes", [
    ({}, True),
    ({"kl": 1e-3}, True), ({"kl": 1.01e-3}, False),
    ({"kl": 4e-4, "moved": 0.05}, True), ({"kl": 6e-4, "moved": 0.05}, False),      # 1 % of what the adapter moves
    ({"kl": 4e-5, "moved": 1e-4}, True), ({"kl": 6e-5, "moved": 1e-4}, False),      # never below the noise
    ({"kl": 9e-4, "moved": None}, True), ({"kl": 2e-3, "moved": None}, False),      # the base itself
    ({"top1": 0.97}, True), ({"top1": 0.969}, False),
    ({"nll_artefact": 2.0099}, True), ({"nll_artefact": 2.011}, False), ({"nll_artefact": 1.985}, False),
    ({"kl": math.nan}, False), ({"top1": math.nan}, False), ({"nll_artefact": math.nan}, False)])
def test_the_verdict(changed, passes):
    passed, against = verdict(Fidelity(**{**WHOLE.__dict__, **changed}), Bars())
    assert (passed, not against) == (passes, passes)


def test_every_reason_is_said():
    _, against = verdict(Fidelity(100, 1.0, 0.1, 2.0, 3.0, 0.2), Bars())
    assert [reason.split()[1] for reason in against] == ["diverges", "would", "loss"]


def test_divergence_of_known_distributions():
    one, two = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert divergence(one, two).item() == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 30), st.floats(0, 2))
def test_means_are_of_all_tokens(seed, length, vocabulary, noise):
    torch.manual_seed(seed)
    passages = []
    for number in (length, length + 3):
        judged = torch.randn(number, vocabulary)
        passages.append((torch.randint(vocabulary, (number,)), judged, judged + noise * torch.randn_like(judged), torch.zeros_like(judged)))
    found = compare(passages)
    joined = compare([tuple(torch.cat(part) for part in zip(*passages, strict=True))])
    assert found.tokens == 2 * length + 3 and found.kl >= -1e-6 and 0 <= found.top1 <= 1
    assert found.kl == pytest.approx(joined.kl, abs=1e-5) and found.top1 == joined.top1
    assert found.moved == pytest.approx(joined.moved, abs=1e-5)
    assert (found.kl == pytest.approx(0, abs=1e-5)) or noise > 0


def test_shifting_all_logits_changes_nothing():
    judged = torch.randn(5, 11)
    found = compare([(torch.arange(5), judged, judged + 3.0, None)])
    assert found.kl == pytest.approx(0, abs=1e-6) and found.top1 == 1 and found.delta_nll == pytest.approx(0, abs=1e-5)
    assert found.moved is None


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="no passage"):
        compare([(torch.tensor([1]), torch.zeros(1, 3), torch.zeros(1, 3), None)])


def test_a_canary_tells_an_adapter_that_is_left_out():
    torch.manual_seed(0)
    base = torch.randn(500)
    judged = base + 0.3 * torch.randn(500)
    canary = Canary.read(Canary.of([1, 2, 3], judged, base).as_json())
    assert canary.ids == (1, 2, 3) and 32 <= len(canary.tokens) <= 64
    assert canary.wrong(judged + 0.01 * torch.randn(500), adapted=True) is None
    assert "the adapter does not speak in it" in canary.wrong(base, adapted=True)
    assert "off by" in canary.wrong(judged + 3 * torch.randn(500), adapted=False)
    assert canary.wrong(torch.full((500,), math.nan), adapted=True)
