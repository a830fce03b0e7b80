"""What a CPU's process grows by: the bounds, held against measured growth of resident memory."""
from __future__ import annotations

import pytest

from edge_sleep.train.anatomy import step_bytes
from edge_sleep.train.growth import grown_bytes, kept_by_judging
from tests.train.test_anatomy import qwen

# MiB over four steps, 0.5B shape, chunk 512, r=4 on q, v: layers, dtype, rows, tokens -> kept, given back. The first five
# rows of each kind ran one after another in one process, as the forwards of a night do (benchmarks/growth.py: one each).
MEASURED = [
    (24, "bfloat16", 1, 256, 761, 74), (24, "bfloat16", 1, 512, 711, 105), (24, "bfloat16", 2, 512, 744, 119),
    (24, "bfloat16", 4, 256, 687, 110), (24, "bfloat16", 4, 512, 1824, 201),
    (6, "bfloat16", 1, 256, 340, 65), (6, "bfloat16", 1, 512, 263, 73), (6, "bfloat16", 2, 512, 276, 90),
    (6, "bfloat16", 4, 256, 231, 79), (6, "bfloat16", 4, 512, 622, 153),
    (6, "float32", 1, 256, None, 87), (6, "float32", 1, 512, None, 106), (6, "float32", 2, 512, None, 152),
]


def foreseen(layers: int, dtype: str, rows: int, tokens: int, give_back: bool) -> float:
    shape = qwen(layers)
    step = step_bytes(shape, dtype=dtype, rank=4, targets="q_proj,v_proj", micro_batch=rows, tokens=tokens, chunk=512,
                      checkpointing=True)
    return grown_bytes(shape, step, dtype=dtype, tokens=rows * tokens, give_back=give_back) / 2**20


@pytest.mark.parametrize("measured", MEASURED, ids=lambda row: "-".join(map(str, row[:4])))
def test_the_bounds_are_over_what_was_measured(measured):
    layers, dtype, rows, tokens, kept, given_back = measured
    assert given_back <= foreseen(layers, dtype, rows, tokens, True) <= given_back + 140
    assert kept is None or 0.95 * kept <= foreseen(layers, dtype, rows, tokens, False) <= 2.2 * kept


def test_giving_back_never_takes_more():
    for _, dtype, rows, tokens, *_ in MEASURED:
        assert foreseen(24, dtype, rows, tokens, True) < foreseen(24, dtype, rows, tokens, False)


def test_judging_grows_with_layers_and_tokens():
    assert kept_by_judging(qwen(24), dtype="bfloat16", tokens=2048) / 2**20 / 24 == pytest.approx(76, rel=0.01)
    assert kept_by_judging(qwen(6), dtype="float32", tokens=512) == kept_by_judging(qwen(6), dtype="bfloat16", tokens=1024)
