"""Where the bytes of a training step are: what stands all night, and what comes and goes within a step.

Each term is a tensor that the autograd graph of a lean model keeps (train/blocks.py), counted per token; together they
were held against the allocator's measured peak in some fifty configurations (tests/train/test_anatomy.py).
"""
from __future__ import annotations

from edge_sleep.model.shape import Shape
from edge_sleep.ops.sizes import ROWS_BYTES, TILE, kept_bytes

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)          # 4 bits, one byte per 64 weights (double quant), its scale
ELEMENT = {"float32": 4, "bfloat16": 2, "float16": 2}
_PER_LINEAR = 1400                                 # code tables and shapes of one 4-bit layer
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
    """Bytes that the backward pass of one block needs of one token, besides the block's input."""
    element, names = ELEMENT[dtype], set(chosen(shape, targets))
    query, kv = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    attention = 2 * query + 2 * kv                  # queries, keys, values, what attention gave
    residual = shape.hidden                         # between attention and feed-forward
    read_by_adapters = (shape.hidden * bool(names & {"q_proj", "k_proj", "v_proj"}) + shape.intermediate * ("down_proj" in names)
                        + shape.hidden * bool(names & {"gate_proj", "up_proj"}) + rank * len(names))
    norms = 2 * 4                                   # one float32 each
    return element * (attention + residual + 2 * shape.intermediate + read_by_adapters) + norms


def step_bytes(shape: Shape, *, dtype: str, rank: int, targets: str, micro_batch: int, tokens: int, chunk: int,
               checkpointing: bool, int8_embedding: bool = False) -> int:
    """The highest sum of what a step allocates: in the loss head, or in the backward pass of one block.

    tokens: of the longest row, padding included; all of them taken as supervised.
    """
    element, rows = ELEMENT[dtype], micro_batch * tokens
    kept = rows * kept_per_token(shape, dtype=dtype, rank=rank, targets=targets)
    hidden, wide = (rows * width * element for width in (shape.hidden, shape.intermediate))
    part, tile = min(chunk, rows), min(TILE, shape.vocabulary)
    # One tile of logits in the model's type and in float32, the gradient of a part in both; the states, all and chosen,
    # their gradient, and the last norm's.
    head = (part * (tile + shape.hidden) * (element + 4) + (tile * shape.hidden * element if int8_embedding else 0) + 4 * hidden)
    gradients = 4 * shape.adapter_parameters(rank, targets) * (shape.layers - 1) / shape.layers
    largest = shape.hidden * shape.intermediate * element
    if not checkpointing:
        graph = shape.layers * (kept + hidden)
        return int(graph + max(head, max(largest + wide, 2 * wide) + 2 * hidden, gradients - graph))
    # Every linear weight of a block but the last is held readable from the recomputation to its backward pass.
    weights = element * (shape.linear_parameters / shape.layers - shape.hidden * shape.intermediate)
    inputs = shape.layers * hidden
    chances = kept_bytes(micro_batch, shape.heads, tokens, element)
    # The product that goes into the block's last layer is made again only where an adapter reads it (ops/elementwise.py).
    product = wide if "down_proj" in chosen(shape, targets) else min(wide, ROWS_BYTES * element // 4)
    return int(max(inputs + head, kept + chances + weights + wide + product + 2 * hidden + max(inputs, gradients + hidden)))

