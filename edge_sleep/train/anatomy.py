"""Where the bytes of a training step are: what stands all night, and what comes and goes within a step.

Each term is a tensor that the model's autograd graph keeps (Qwen2 in transformers, LoRA in PEFT, sdpa), counted per
token; together they were held against the allocator's measured peak in 48 configurations (tests/train/test_anatomy.py).
"""
from __future__ import annotations

from edge_sleep.model.shape import Shape

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)          # 4 bits, one byte per 64 weights (double quant), its scale
ELEMENT = {"float32": 4, "bfloat16": 2, "float16": 2}
_PER_LINEAR = 1400                                 # code tables and shapes of one 4-bit layer
_QKV, _MLP = frozenset(("q_proj", "k_proj", "v_proj")), frozenset(("gate_proj", "up_proj"))


def chosen(shape: Shape, targets: str) -> list[str]:
    """The linear layers of a block that get an adapter."""
    return list(shape.linears) if targets == "all-linear" else [
        name for name in (part.strip() for part in targets.split(",")) if name in shape.linears]


def standing_bytes(shape: Shape, *, dtype: str, rank: int, targets: str, int8_embedding: bool = False) -> int:
    """4-bit weights, embedding and head, adapter in float32 with AdamW's two moments."""
    linears = shape.linear_parameters * NF4_BYTES + shape.layers * len(shape.linears) * _PER_LINEAR
    per_row = shape.hidden + ELEMENT[dtype] if int8_embedding else shape.hidden * ELEMENT[dtype]
    tables = shape.embedding_parameters / shape.hidden * per_row
    return int(linears + tables + shape.adapter_parameters(rank, targets) * 12)


def kept_per_token(shape: Shape, *, dtype: str, rank: int, targets: str) -> float:
    """Bytes that the backward pass of one block keeps of one token."""
    element, names = ELEMENT[dtype], chosen(shape, targets)
    query, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    kept = element * (3 * shape.intermediate + 0.5 * shape.hidden + 2 * query + 2 * kv) + 8 * shape.hidden
    if element == 4:                               # an adapter's input is the layer's own, kept once for those who share it
        shared = [not _QKV.isdisjoint(names), not _MLP.isdisjoint(names)]
        kept += 4 * (sum(shared) * shape.hidden + ("down_proj" in names) * shape.intermediate)
    else:                                          # each adapter keeps a float32 copy of its input
        kept += 4 * sum(shape.linears[name][0] for name in names)
    return kept + 4 * rank * len(names)


def step_bytes(shape: Shape, *, dtype: str, rank: int, targets: str, micro_batch: int, tokens: int, chunk: int,
               checkpointing: bool) -> int:
    """The highest sum of what a step allocates: in the loss head, or in the backward pass of one block.

    tokens: of the longest row, padding included; all of them taken as supervised.
    """
    element, rows = ELEMENT[dtype], micro_batch * tokens
    logits = min(chunk, rows) * shape.vocabulary * (4 if element == 4 else 4 + element)
    ends = 4 * rows * shape.hidden * element       # hidden states behind the last block, their gradient
    kept = rows * kept_per_token(shape, dtype=dtype, rank=rank, targets=targets)
    inputs_too = element == 4 and "down_proj" in chosen(shape, targets)
    gradients = rows * (2 if inputs_too else 3) * shape.intermediate * element
    dequantised = shape.hidden * shape.intermediate * element
    block = gradients + (dequantised if targets == "all-linear" or rows < shape.hidden else 0)
    if not checkpointing:
        return int(shape.layers * kept + max(logits, block))
    return int(shape.layers * rows * shape.hidden * element + max(logits + ends, kept + block))


def kept_by_judging(shape: Shape, *, dtype: str, rows: int) -> int:
    """What glibc's heap grows by in one forward over `rows` tokens: every layer's four feed-forward tensors.

    Measured: 76 MiB a layer for 2,048 tokens of the 0.5B shape in bfloat16 (device/allocator.py says why).
    """
    return shape.layers * 4 * rows * shape.intermediate * ELEMENT[dtype]
