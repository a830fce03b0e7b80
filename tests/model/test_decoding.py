"""Drawing tokens from logits: what a temperature and top-p leave in, and that a draw can be had again."""
from __future__ import annotations

import pytest
import torch

from edge_sleep.model import decoding


class Fixed:
    """Always the same logits; remembers what it was fed."""

    def __init__(self, logits: torch.Tensor):
        self.logits, self.fed = logits, []

    def restart(self) -> None:
        self.fed = []

    def feed(self, ids):
        self.fed.append(list(ids))
        return self.logits


LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def test_greedy_feeds_each_token_once_and_stops_at_an_end() -> None:
    model = Fixed(LOGITS)
    assert decoding.greedy(model, [7, 8], 3) == [0, 0, 0] and model.fed == [[7, 8], [0], [0]]
    assert decoding.greedy(model, [7, 8], 3, ends=[0]) == [0] and model.fed == [[7, 8]]
    assert decoding.greedy(model, [7], 0) == [] and model.fed == []


@pytest.mark.parametrize("top_p, left", [(0.4, {0}), (0.5, {0}), (0.51, {0, 1}), (0.94, {0, 1, 2}), (1.0, {0, 1, 2, 3})])
def test_top_p_keeps_the_likeliest_that_reach_it(top_p: float, left: set[int]) -> None:
    pick = decoding.drawn(1.0, top_p, seed=1)
    assert {pick(LOGITS) for _ in range(400)} == left


def test_frequencies_are_the_shares_at_that_temperature() -> None:
    pick, count = decoding.drawn(2.0, 1.0, seed=3), 20000
    found = torch.bincount(torch.tensor([pick(LOGITS) for _ in range(count)]), minlength=4) / count
    wanted = torch.softmax(LOGITS / 2.0, -1)
    assert ((found - wanted).abs() <= 4 * (wanted * (1 - wanted) / count).sqrt()).all()


def test_a_seed_draws_the_same_again_and_none_does_not() -> None:
    flat = torch.zeros(10000)
    assert [decoding.drawn(1.0, 1.0, seed)(flat) for seed in (5, 5)] == [decoding.drawn(1.0, 1.0, 5)(flat)] * 2
    assert len({decoding.drawn(1.0, 1.0, None)(flat) for _ in range(4)}) > 1
