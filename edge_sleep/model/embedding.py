"""The embedding and the head in int8, as modules that stand in a model where the full ones stood."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edge_sleep.ops import sizes
from edge_sleep.ops.int8 import Int8Head, quantise_rows
from edge_sleep.ops.loss import DenseHead, Head, logits_of

# Fewer rows than this are multiplied by PyTorch's own int8 product: 19 ms for one row of the 0.5B head on one x86 core, where
# tiles take 58 and the full head 47; from 32 rows on it is the slower way.
_FEW = 16


class Int8Table(nn.Module):
    """Values [V, H] in int8 and scales [V]; one table serves as embedding and as tied head."""

    values: Tensor
    scales: Tensor

    def __init__(self, values: Tensor, scales: Tensor, dtype: torch.dtype):
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("scales", scales.to(dtype))
        self.compute_dtype = dtype

    def head(self) -> Int8Head:
        """The table as `ops.loss` reads it."""
        return Int8Head(self.values, self.scales, self.compute_dtype)


class Int8Embedding(nn.Module):
    """Row ids [...] to vectors [..., H]."""

    def __init__(self, table: Int8Table):
        super().__init__()
        self.table, self.compute_dtype = table, table.compute_dtype
        self.num_embeddings, self.embedding_dim = table.values.shape

    def forward(self, ids: Tensor) -> Tensor:
        return self.table.head().lookup(ids)


class Int8Output(nn.Module):
    """Hidden states [..., H] to logits [..., V]."""

    def __init__(self, table: Int8Table):
        super().__init__()
        self.table = table
        self.out_features, self.in_features = table.values.shape

    def forward(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        if len(flat) < _FEW and flat.device.type == "cpu" and not flat.requires_grad:
            logits = torch._weight_int8pack_mm(flat, self.table.values, self.table.scales)
        else:
            head = self.table.head()
            logits = flat.new_empty(len(flat), head.vocabulary)
            for begin, end in sizes.tiles(head.vocabulary):
                logits[:, begin:end] = logits_of(flat, head, begin, end)
        return logits.view(*hidden.shape[:-1], -1)


def head_of(module: Any) -> Head:
    """An output projection as `ops.loss` reads it, whatever it is stored in."""
    if isinstance(module, Int8Output):
        return module.table.head()
    return DenseHead(module.weight, getattr(module, "bias", None))


def install(model: Any, embedding: Int8Table | None, output: Int8Table | None) -> None:
    """Put tables in the place of the model's embedding and of its head; None leaves what is there."""
    if embedding is not None:
        model.set_input_embeddings(Int8Embedding(embedding))
    if output is not None:
        model.set_output_embeddings(Int8Output(output))


def compress(model: Any, dtype: torch.dtype) -> None:
    """Turn a loaded model's embedding and head into int8, one table where they are tied."""
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    table = Int8Table(*quantise_rows(embedding.weight.detach()), dtype)
    tied = output is not None and output.weight is embedding.weight
    install(model, table, table if tied or output is None else Int8Table(*quantise_rows(output.weight.detach()), dtype))
