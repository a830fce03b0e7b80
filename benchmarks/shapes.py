"""Model folders of a known shape with random weights: for memory and time, where nothing can be downloaded.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b DIR

The tokenizer is the seedling's: its ids all lie inside the larger vocabulary, so every cost is the true one.
"""
from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.model.shape import Shape
from edge_sleep.seedling import MODEL as SEEDLING

# Beside the published ones: the smallest that goes every way of the code, for a try of seconds.
TINY = Shape(hidden=64, layers=2, heads=2, kv_heads=1, head_size=32, intermediate=128, vocabulary=2048, tied=True, context=512)
MADE = {"tiny": TINY, **KNOWN}


def keys(shape: Shape) -> dict:
    """Those of config.json that make the shape."""
    return {"hidden_size": shape.hidden, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads, "intermediate_size": shape.intermediate, "vocab_size": shape.vocabulary,
            "tie_word_embeddings": shape.tied}


def make(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a loadable model folder of shape `name` with random bf16 weights; returns it."""
    return write(MADE[name], folder, seed)


def write(shape: Shape, folder: Path, seed: int = 0) -> Path:
    """As `make`, of any shape whose vocabulary holds the seedling's."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (SEEDLING / file).is_file():
            shutil.copy(SEEDLING / file, folder)
    torch.manual_seed(seed)
    config = Qwen2Config(**keys(shape), max_position_embeddings=shape.context or 32768, rope_theta=1e6, rms_norm_eps=1e-6,
                         dtype="bfloat16")
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(MADE))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(make(arguments.shape, arguments.folder))


if __name__ == "__main__":
    main()
