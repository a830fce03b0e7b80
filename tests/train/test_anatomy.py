"""Bytes as foreseen, held against the allocator's measured peak of whole optimiser steps."""
import pytest
from edge_sleep.benchmarks.peak import measure

from edge_sleep.model.shape import Shape, read
from edge_sleep.seedling import MODEL
from edge_sleep.train.anatomy import standing_bytes, step_bytes


def qwen(layers: int) -> Shape:
    return Shape(hidden=896, layers=layers, heads=14, kv_heads=2, head_size=64, intermediate=4864, vocabulary=151936, tied=True,
                 context=None)


# Measured with benchmarks/peak.py on the 0.5B shape, half of the tokens supervised: dtype, rank (4 on q, v; 16 on all),
# checkpointing, rows, tokens, chunk -> MiB that stand, MiB of the step; layers, embedding.
MEASURED = [
    ('bfloat16', 4, True, 1, 64, 32, 304.5, 24.3, 6, 'full'),
    ('bfloat16', 4, True, 1, 256, 128, 304.5, 45.6, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 32, 304.5, 50.1, 6, 'full'),
    ('bfloat16', 4, True, 2, 256, 64, 304.5, 50.0, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 128, 304.5, 50.1, 6, 'full'),
    ('bfloat16', 4, True, 1, 1024, 32, 304.5, 80.0, 6, 'full'),
    ('bfloat16', 4, True, 4, 256, 64, 304.5, 79.8, 6, 'full'),
    ('bfloat16', 4, False, 1, 64, 32, 304.5, 21.2, 6, 'full'),
    ('bfloat16', 4, False, 1, 256, 128, 304.5, 84.9, 6, 'full'),
    ('bfloat16', 4, False, 1, 512, 32, 304.5, 100.0, 6, 'full'),
    ('bfloat16', 4, False, 2, 256, 64, 304.5, 107.4, 6, 'full'),
    ('bfloat16', 4, False, 1, 512, 128, 304.5, 128.3, 6, 'full'),
    ('bfloat16', 16, True, 1, 64, 32, 328.9, 31.5, 6, 'full'),
    ('bfloat16', 16, True, 1, 256, 128, 328.9, 45.6, 6, 'full'),
    ('bfloat16', 16, True, 1, 512, 32, 328.9, 58.1, 6, 'full'),
    ('bfloat16', 16, True, 2, 256, 64, 328.9, 58.0, 6, 'full'),
    ('bfloat16', 16, True, 1, 512, 128, 328.9, 58.1, 6, 'full'),
    ('bfloat16', 16, True, 1, 1024, 32, 328.9, 90.2, 6, 'full'),
    ('bfloat16', 16, True, 4, 256, 64, 328.9, 90.0, 6, 'full'),
    ('bfloat16', 16, False, 1, 64, 32, 328.9, 25.5, 6, 'full'),
    ('bfloat16', 16, False, 1, 256, 128, 328.9, 102.1, 6, 'full'),
    ('bfloat16', 16, False, 1, 512, 32, 328.9, 132.5, 6, 'full'),
    ('bfloat16', 16, False, 2, 256, 64, 328.9, 141.8, 6, 'full'),
    ('bfloat16', 16, False, 1, 512, 128, 328.9, 162.6, 6, 'full'),
    ('float32', 4, True, 1, 64, 32, 564.2, 48.5, 6, 'full'),
    ('float32', 4, True, 1, 256, 128, 564.2, 85.6, 6, 'full'),
    ('float32', 4, True, 1, 512, 32, 564.2, 100.1, 6, 'full'),
    ('float32', 4, True, 2, 256, 64, 564.2, 99.9, 6, 'full'),
    ('float32', 4, True, 1, 512, 128, 564.2, 100.1, 6, 'full'),
    ('float32', 4, True, 1, 1024, 32, 564.2, 159.9, 6, 'full'),
    ('float32', 4, True, 4, 256, 64, 564.2, 159.5, 6, 'full'),
    ('float32', 4, False, 1, 64, 32, 564.2, 41.1, 6, 'full'),
    ('float32', 4, False, 1, 256, 128, 564.2, 164.2, 6, 'full'),
    ('float32', 4, False, 1, 512, 32, 564.2, 199.5, 6, 'full'),
    ('float32', 4, False, 2, 256, 64, 564.2, 212.0, 6, 'full'),
    ('float32', 4, False, 1, 512, 128, 564.2, 250.9, 6, 'full'),
    ('float32', 16, True, 1, 64, 32, 588.6, 55.2, 6, 'full'),
    ('float32', 16, True, 1, 256, 128, 588.6, 85.6, 6, 'full'),
    ('float32', 16, True, 1, 512, 32, 588.6, 110.2, 6, 'full'),
    ('float32', 16, True, 2, 256, 64, 588.6, 110.0, 6, 'full'),
    ('float32', 16, True, 1, 512, 128, 588.6, 110.2, 6, 'full'),
    ('float32', 16, True, 1, 1024, 32, 588.6, 179.7, 6, 'full'),
    ('float32', 16, True, 4, 256, 64, 588.6, 179.3, 6, 'full'),
    ('float32', 16, False, 1, 64, 32, 588.6, 49.6, 6, 'full'),
    ('float32', 16, False, 1, 256, 128, 588.6, 198.6, 6, 'full'),
    ('float32', 16, False, 1, 512, 32, 588.6, 264.7, 6, 'full'),
    ('float32', 16, False, 2, 256, 64, 588.6, 280.7, 6, 'full'),
    ('float32', 16, False, 1, 512, 128, 588.6, 319.6, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 32, 174.9, 50.1, 6, 'int8'),
    ('bfloat16', 4, True, 1, 512, 128, 174.9, 55.0, 6, 'int8'),
    ('bfloat16', 4, True, 4, 256, 64, 175.0, 79.8, 6, 'int8'),
]


@pytest.mark.parametrize("measured", MEASURED, ids=lambda row: "-".join(map(str, row[:6])))
def test_a_step_is_foreseen_within_five_per_cent(measured):
    dtype, rank, checkpointing, rows, tokens, chunk, standing, step, layers, embedding = measured
    shape, targets, int8 = qwen(layers), "all-linear" if rank == 16 else "q_proj,v_proj", embedding == "int8"
    stands = standing_bytes(shape, dtype=dtype, rank=rank, targets=targets, int8_embedding=int8) / 2**20
    comes = step_bytes(shape, dtype=dtype, rank=rank, targets=targets, micro_batch=rows, tokens=tokens,
                       chunk=min(chunk, rows * tokens // 2), checkpointing=checkpointing,
                       int8_embedding=int8) / 2**20
    assert stands == pytest.approx(standing, rel=0.01)
    assert stands + comes == pytest.approx(standing + step, rel=0.05)


def test_another_shape_measured_here_and_now():
    """The seedling: a seventieth of the size, other proportions."""
    measured = measure(str(MODEL), "ours", 4, 64, {"checkpointing": False, "loss_chunk": 64})
    shape = read(MODEL)
    foreseen = standing_bytes(shape, dtype="bfloat16", rank=4, targets="q_proj,v_proj") + step_bytes(
        shape, dtype="bfloat16", rank=4, targets="q_proj,v_proj", micro_batch=4, tokens=64, chunk=64, checkpointing=False)
    assert foreseen / 2**20 == pytest.approx(measured["peak_mebibytes"], rel=0.05)
