"""Bytes as foreseen, held against the allocator's measured peak of whole optimiser steps."""
import pytest
from edge_sleep.benchmarks.peak import measure

from edge_sleep.model.shape import Shape, read
from edge_sleep.seedling import MODEL
from edge_sleep.train.anatomy import standing_bytes, step_bytes


def qwen(layers: int) -> Shape:
    return Shape(hidden=896, layers=layers, heads=14, kv_heads=2, head_size=64, intermediate=4864, vocabulary=151936, tied=True,
                 context=None)


# Measured with benchmarks/peak.py on the 0.5B shape with 6 layers, half of the tokens supervised: dtype, rank (4 on q, v; 16 on
# all), checkpointing, rows, tokens, chunk -> MiB that stand, MiB of the step.
MEASURED = [
    ("bfloat16", 4, True, 1, 256, 128, 304.5, 116.1),
    ("bfloat16", 4, True, 1, 512, 32, 304.5, 44.8),
    ("bfloat16", 4, True, 1, 512, 128, 304.5, 120.6),
    ("bfloat16", 4, True, 2, 256, 64, 304.5, 64.8),
    ("bfloat16", 4, True, 1, 1024, 32, 304.5, 87.7),
    ("bfloat16", 4, True, 4, 256, 64, 304.5, 87.5),
    ("bfloat16", 4, True, 1, 64, 32, 304.5, 29.2),
    ("bfloat16", 4, False, 1, 256, 128, 304.5, 182.5),
    ("bfloat16", 4, False, 1, 512, 32, 304.5, 169.7),
    ("bfloat16", 4, False, 1, 512, 128, 304.5, 253.3),
    ("bfloat16", 4, False, 2, 256, 64, 304.5, 197.5),
    ("bfloat16", 4, False, 1, 64, 32, 304.5, 45.7),
    ("bfloat16", 16, True, 1, 256, 128, 328.9, 116.1),
    ("bfloat16", 16, True, 1, 512, 32, 328.9, 61.9),
    ("bfloat16", 16, True, 1, 512, 128, 328.9, 120.6),
    ("bfloat16", 16, True, 2, 256, 64, 328.9, 64.8),
    ("bfloat16", 16, True, 1, 1024, 32, 328.9, 118.5),
    ("bfloat16", 16, True, 4, 256, 64, 328.9, 118.3),
    ("bfloat16", 16, True, 1, 64, 32, 328.9, 29.2),
    ("bfloat16", 16, False, 1, 256, 128, 328.9, 232.6),
    ("bfloat16", 16, False, 1, 512, 32, 328.9, 269.9),
    ("bfloat16", 16, False, 1, 512, 128, 328.9, 353.6),
    ("bfloat16", 16, False, 2, 256, 64, 328.9, 297.7),
    ("bfloat16", 16, False, 1, 64, 32, 328.9, 58.3),
    ("float32", 4, True, 1, 256, 128, 564.2, 82.7),
    ("float32", 4, True, 1, 512, 32, 564.2, 77.1),
    ("float32", 4, True, 1, 512, 128, 564.2, 90.7),
    ("float32", 4, True, 2, 256, 64, 564.2, 77.0),
    ("float32", 4, True, 1, 1024, 32, 564.2, 154.2),
    ("float32", 4, True, 4, 256, 64, 564.2, 153.8),
    ("float32", 4, True, 1, 64, 32, 564.2, 24.4),
    ("float32", 4, False, 1, 256, 128, 564.2, 189.9),
    ("float32", 4, False, 1, 512, 32, 564.2, 256.9),
    ("float32", 4, False, 1, 512, 128, 564.2, 305.2),
    ("float32", 4, False, 2, 256, 64, 564.2, 267.7),
    ("float32", 4, False, 1, 64, 32, 564.2, 47.5),
    ("float32", 16, True, 1, 256, 128, 588.6, 82.7),
    ("float32", 16, True, 1, 512, 32, 588.6, 86.5),
    ("float32", 16, True, 1, 512, 128, 588.6, 90.7),
    ("float32", 16, True, 2, 256, 64, 588.6, 86.4),
    ("float32", 16, True, 1, 1024, 32, 588.6, 158.4),
    ("float32", 16, True, 4, 256, 64, 588.6, 158.0),
    ("float32", 16, True, 1, 64, 32, 588.6, 31.6),
    ("float32", 16, False, 1, 256, 128, 588.6, 224.3),
    ("float32", 16, False, 1, 512, 32, 588.6, 322.2),
    ("float32", 16, False, 1, 512, 128, 588.6, 373.9),
    ("float32", 16, False, 2, 256, 64, 588.6, 336.5),
    ("float32", 16, False, 1, 64, 32, 588.6, 56.1),
    # the whole shape
    ("bfloat16", 4, True, 1, 512, 32, 439.0, 61.2, 24), ("bfloat16", 4, True, 1, 512, 64, 439.0, 80.9, 24),
    ("bfloat16", 4, True, 1, 512, 128, 439.0, 136.0, 24), ("bfloat16", 4, True, 4, 512, 32, 439.0, 238.3, 24),
    ("bfloat16", 4, True, 4, 1024, 32, 439.0, 476.2, 24),
]


@pytest.mark.parametrize("measured", MEASURED, ids=lambda row: "-".join(map(str, row[:6])))
def test_a_step_is_foreseen_within_five_per_cent(measured):
    dtype, rank, checkpointing, rows, tokens, chunk, standing, step, *layers = measured
    shape, targets = qwen(*(layers or [6])), "all-linear" if rank == 16 else "q_proj,v_proj"
    stands = standing_bytes(shape, dtype=dtype, rank=rank, targets=targets) / 2**20
    comes = step_bytes(shape, dtype=dtype, rank=rank, targets=targets, micro_batch=rows, tokens=tokens,
                       chunk=min(chunk, rows * tokens // 2), checkpointing=checkpointing) / 2**20
    assert stands == pytest.approx(standing, rel=0.01)
    assert stands + comes == pytest.approx(standing + step, rel=0.05)


def test_another_shape_measured_here_and_now():
    """The seedling: a seventieth of the size, other proportions."""
    measured = measure(str(MODEL), "ours", 4, 64, {"checkpointing": False, "loss_chunk": 64})
    shape = read(MODEL)
    foreseen = standing_bytes(shape, dtype="bfloat16", rank=4, targets="q_proj,v_proj") + step_bytes(
        shape, dtype="bfloat16", rank=4, targets="q_proj,v_proj", micro_batch=4, tokens=64, chunk=64, checkpointing=False)
    assert foreseen / 2**20 == pytest.approx(measured["peak_mebibytes"], rel=0.05)
