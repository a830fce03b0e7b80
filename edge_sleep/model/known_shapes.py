"""Published models by size, from their config.json: what a plan or a benchmark can speak of without having the weights."""
from __future__ import annotations

from edge_sleep.model.shape import Shape

_CONTEXT = 32768

# Qwen2.5, smallest first: a decoder of today at five sizes, the three smallest with one matrix for embedding and head.
KNOWN: dict[str, Shape] = {
    "qwen2.5-0.5b": Shape(hidden=896, layers=24, heads=14, kv_heads=2, head_size=64, intermediate=4864, vocabulary=151936,
                          tied=True, context=_CONTEXT),
    "qwen2.5-1.5b": Shape(hidden=1536, layers=28, heads=12, kv_heads=2, head_size=128, intermediate=8960, vocabulary=151936,
                          tied=True, context=_CONTEXT),
    "qwen2.5-3b": Shape(hidden=2048, layers=36, heads=16, kv_heads=2, head_size=128, intermediate=11008, vocabulary=151936,
                        tied=True, context=_CONTEXT),
    "qwen2.5-7b": Shape(hidden=3584, layers=28, heads=28, kv_heads=4, head_size=128, intermediate=18944, vocabulary=152064,
                        tied=False, context=_CONTEXT),
    "qwen2.5-14b": Shape(hidden=5120, layers=48, heads=40, kv_heads=8, head_size=128, intermediate=13824, vocabulary=152064,
                         tied=False, context=_CONTEXT),
}
