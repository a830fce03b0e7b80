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
    ('bfloat16', 4, True, 1, 256, 128, 304.5, 36.0, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 32, 304.5, 52.8, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 128, 304.5, 52.8, 6, 'full'),
    ('bfloat16', 4, True, 2, 256, 64, 304.5, 51.0, 6, 'full'),
    ('bfloat16', 4, True, 1, 1024, 32, 304.5, 72.7, 6, 'full'),
    ('bfloat16', 4, True, 4, 256, 64, 304.5, 77.8, 6, 'full'),
    ('bfloat16', 4, True, 1, 64, 32, 304.5, 23.9, 6, 'full'),
    ('bfloat16', 4, False, 1, 256, 128, 304.5, 54.2, 6, 'full'),
    ('bfloat16', 4, False, 1, 512, 32, 304.5, 100.0, 6, 'full'),
    ('bfloat16', 4, False, 1, 512, 128, 304.5, 100.0, 6, 'full'),
    ('bfloat16', 4, False, 2, 256, 64, 304.5, 99.9, 6, 'full'),
    ('bfloat16', 4, False, 1, 64, 32, 304.5, 19.9, 6, 'full'),
    ('bfloat16', 16, True, 1, 256, 128, 328.9, 44.2, 6, 'full'),
    ('bfloat16', 16, True, 1, 512, 32, 328.9, 62.4, 6, 'full'),
    ('bfloat16', 16, True, 1, 512, 128, 328.9, 62.4, 6, 'full'),
    ('bfloat16', 16, True, 2, 256, 64, 328.9, 60.6, 6, 'full'),
    ('bfloat16', 16, True, 1, 1024, 32, 328.9, 90.2, 6, 'full'),
    ('bfloat16', 16, True, 4, 256, 64, 328.9, 95.3, 6, 'full'),
    ('bfloat16', 16, True, 1, 64, 32, 328.9, 31.6, 6, 'full'),
    ('bfloat16', 16, False, 1, 256, 128, 328.9, 70.5, 6, 'full'),
    ('bfloat16', 16, False, 1, 512, 32, 328.9, 132.5, 6, 'full'),
    ('bfloat16', 16, False, 1, 512, 128, 328.9, 132.5, 6, 'full'),
    ('bfloat16', 16, False, 2, 256, 64, 328.9, 132.4, 6, 'full'),
    ('bfloat16', 16, False, 1, 64, 32, 328.9, 23.9, 6, 'full'),
    ('float32', 4, True, 1, 256, 128, 564.2, 71.9, 6, 'full'),
    ('float32', 4, True, 1, 512, 32, 564.2, 96.8, 6, 'full'),
    ('float32', 4, True, 1, 512, 128, 564.2, 96.8, 6, 'full'),
    ('float32', 4, True, 2, 256, 64, 564.2, 101.9, 6, 'full'),
    ('float32', 4, True, 1, 1024, 32, 564.2, 145.3, 6, 'full'),
    ('float32', 4, True, 4, 256, 64, 564.2, 145.0, 6, 'full'),
    ('float32', 4, True, 1, 64, 32, 564.2, 47.8, 6, 'full'),
    ('float32', 4, False, 1, 256, 128, 564.2, 108.1, 6, 'full'),
    ('float32', 4, False, 1, 512, 32, 564.2, 199.5, 6, 'full'),
    ('float32', 4, False, 1, 512, 128, 564.2, 199.5, 6, 'full'),
    ('float32', 4, False, 2, 256, 64, 564.2, 199.4, 6, 'full'),
    ('float32', 4, False, 1, 64, 32, 564.2, 39.5, 6, 'full'),
    ('float32', 16, True, 1, 256, 128, 588.6, 80.6, 6, 'full'),
    ('float32', 16, True, 1, 512, 32, 588.6, 110.2, 6, 'full'),
    ('float32', 16, True, 1, 512, 128, 588.6, 110.2, 6, 'full'),
    ('float32', 16, True, 2, 256, 64, 588.6, 115.3, 6, 'full'),
    ('float32', 16, True, 1, 1024, 32, 588.6, 179.7, 6, 'full'),
    ('float32', 16, True, 4, 256, 64, 588.6, 179.3, 6, 'full'),
    ('float32', 16, True, 1, 64, 32, 588.6, 55.4, 6, 'full'),
    ('float32', 16, False, 1, 256, 128, 588.6, 140.7, 6, 'full'),
    ('float32', 16, False, 1, 512, 32, 588.6, 264.7, 6, 'full'),
    ('float32', 16, False, 1, 512, 128, 588.6, 264.7, 6, 'full'),
    ('float32', 16, False, 2, 256, 64, 588.6, 264.6, 6, 'full'),
    ('float32', 16, False, 1, 64, 32, 588.6, 47.6, 6, 'full'),
    ('bfloat16', 4, True, 1, 512, 32, 175.0, 52.8, 6, 'int8'),
    ('bfloat16', 4, True, 1, 512, 128, 174.9, 52.8, 6, 'int8'),
    ('bfloat16', 4, True, 4, 256, 64, 175.0, 77.8, 6, 'int8'),
    ('bfloat16', 4, True, 1, 512, 512, 439.0, 69.0, 24, 'full'),
    ('bfloat16', 4, True, 4, 512, 512, 439.0, 184.0, 24, 'full'),
    ('bfloat16', 4, True, 4, 1024, 512, 439.0, 347.0, 24, 'full'),
    ('bfloat16', 4, True, 1, 512, 512, 309.0, 69.0, 24, 'int8'),
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
