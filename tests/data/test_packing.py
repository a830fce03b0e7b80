"""Rows of several examples: everything once, never wider than allowed, never more work than padding."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.data.packing import first_fit, rows, width

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=32)


@given(lengths, st.sampled_from([1.0, 1.5, 2.0, 4.0]))
def test_every_example_once_in_rows_that_are_no_more_work(sizes, stretch):
    filled = rows(sizes, stretch)
    assert sorted(index for row in filled for index in row) == list(range(len(sizes)))
    assert width(filled, sizes) <= max(max(sizes), stretch * max(sizes))
    assert len(filled) * width(filled, sizes) <= len(sizes) * max(sizes)
    assert filled == rows(list(sizes), stretch)


@pytest.mark.parametrize(("sizes", "filled"), [
    ([], []), ([5], [[0]]), ([100, 30, 30, 40], [[0], [3, 1, 2]]), ([50, 50], [[0, 1]]), ([7, 7, 7], [[0], [1], [2]])])
def test_rows(sizes, filled):
    made = rows(sizes)
    assert sum(map(len, made)) == len(sizes)
    if sizes:
        assert len(made) * width(made, sizes) <= len(filled) * width(filled, sizes)


def test_first_fit_fills_longest_first():
    assert first_fit([3, 9, 4, 6], 10) == [[1], [3, 2], [0]]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=12), st.booleans())
def test_positions_restart_and_every_target_is_predicted_from_its_own_example(shapes, packed):
    pad, made, token = 0, [], 1
    for prompt, answer in shapes:
        made.append(TokenisedExample(tuple(range(token, token + prompt + answer)), prompt, prompt + answer, 1.0 + token % 3))
        token += prompt + answer
    batch = collate(made, pad, packed)
    ids, weight_of = batch["input_ids"], {number: one.weight for one in made for number in one.ids}
    assert sorted(ids[ids != pad].tolist()) == list(range(1, token)), "every token once"
    for row, column, target, weight in zip(batch["rows"], batch["columns"], batch["targets"], batch["weights"], strict=True):
        assert ids[row, column] == target - 1 and ids[row, column + 1] == target and weight == weight_of[int(target)]
    assert batch["targets"].numel() == sum(one.supervised for one in made)
    if "position_ids" in batch:
        starts = {one.ids[0] for one in made}
        for row, places in zip(ids.tolist(), batch["position_ids"].tolist(), strict=True):
            for column, (number, place) in enumerate(zip(row, places, strict=True)):
                begins = column == 0 or number in starts or (number == pad and row[column - 1] != pad)
                assert place == (0 if begins else places[column - 1] + 1)
    else:
        assert batch["attention_mask"].sum() == token - 1 and len(ids) == len(made)
    assert packed or "attention_mask" in batch
