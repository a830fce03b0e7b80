"""What a model's config.json says about its size, without loading a weight."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.errors import ModelError


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder with gated feed-forward and grouped-query attention (Llama, Qwen, Mistral, ...)."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    tied: bool
    context: int | None

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer of one block."""
        query, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        return {"q_proj": (self.hidden, query), "k_proj": (self.hidden, kv), "v_proj": (self.hidden, kv),
                "o_proj": (query, self.hidden), "gate_proj": (self.hidden, self.intermediate),
                "up_proj": (self.hidden, self.intermediate), "down_proj": (self.intermediate, self.hidden)}

    @property
    def linear_parameters(self) -> int:
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_parameters(self, rank: int, targets: str) -> int:
        chosen = self.linears if targets == "all-linear" else [name.strip() for name in targets.split(",")]
        return self.layers * sum(rank * sum(self.linears[name]) for name in chosen if name in self.linears)


_CAUSAL = ("ForCausalLM", "LMHeadModel")           # what transformers calls a model that answers


def read(folder: Path) -> Shape:
    """The shape in config.json. Raises ModelError where it is not a decoder of this family."""
    config: dict = {}
    try:
        config = json.loads((folder / "config.json").read_bytes())
        named = [name for name in config.get("architectures") or [] if isinstance(name, str)]
        if config.get("is_encoder_decoder") or (named and not any(name.endswith(_CAUSAL) for name in named)):
            raise ModelError(f"{folder} holds {', '.join(named) or 'an encoder-decoder'}: it does not continue a conversation",
                             "use a Llama- or Qwen-like causal language model")
        return Shape(
            hidden=config["hidden_size"], layers=config["num_hidden_layers"], heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            head_size=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
            intermediate=config["intermediate_size"], vocabulary=config["vocab_size"],
            tied=config.get("tie_word_embeddings", False), context=config.get("max_position_embeddings"))
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        kind = f" ({config['model_type']})" if isinstance(config, dict) and "model_type" in config else ""
        raise ModelError(f"{folder}/config.json does not describe a causal decoder that can be planned{kind}: "
                         f"{type(error).__name__} {error}", "use a Llama- or Qwen-like causal language model") from error
