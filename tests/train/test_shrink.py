"""Fewer examples per forward: all of a step, each once, near lengths together."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.train.shrink import forwards


@pytest.mark.parametrize("step, micro_batch, made", [
    ([], 4, []), ([0], 4, [[0]]), ([0, 1, 2, 3], 4, [[0, 2, 3, 1]]), ([0, 1, 2, 3], 2, [[0, 2], [3, 1]]), ([0, 1, 2], 2, [[0, 2], [1]]),
    ([0, 1, 2, 3, 1], 4, [[0, 2, 3], [1, 1]])])
def test_forwards(step: list[int], micro_batch: int, made: list[list[int]]) -> None:
    assert forwards(step, [5, 90, 6, 70], micro_batch) == made


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 16))
def test_all_of_it_each_once_and_of_nearly_one_number(lengths: list[int], micro_batch: int) -> None:
    step = list(range(len(lengths)))
    made = forwards(step, lengths, micro_batch)
    assert sorted(index for one in made for index in one) == step
    assert all(len(one) <= micro_batch for one in made) and len(made) == -(-len(step) // micro_batch)
    assert [lengths[index] for one in made for index in one] == sorted(lengths)
