"""How a decoder is written for llama.cpp: the architecture's name, hyperparameters, the tensors' names and order of rows."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import ModelError
from edge_sleep.model import shape
from edge_sleep.model.shape import Shape

# model_type of transformers -> (architecture of llama.cpp, whether it wants the rows of q and k in pairs)
_ARCHITECTURES = {"qwen2": ("qwen2", False), "qwen3": ("qwen3", False), "llama": ("llama", True), "mistral": ("llama", True)}
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_BLOCK = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class GgufShape:
    """One model for llama.cpp."""

    architecture: str
    paired: bool
    of: Shape
    rope_theta: float
    epsilon: float

    @classmethod
    def read(cls, folder: Path) -> GgufShape:
        """From a model folder. Raises ModelError naming what is not known here: else a model would speak nonsense."""
        config = json.loads((folder / "config.json").read_bytes())
        found = _ARCHITECTURES.get(config.get("model_type"))
        if found is None:
            raise ModelError(f"gguf: the architecture {config.get('model_type')!r} is not known here",
                             f"known are {', '.join(_ARCHITECTURES)}; llama.cpp's own converter takes `export --to merged`")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rope.get("rope_type") or rope.get("type") or "default"
        sliding = config.get("sliding_window") if config.get("use_sliding_window", config["model_type"] == "mistral") else None
        for what, value, plain in (("rope_type", kind, "default"), ("hidden_act", config.get("hidden_act", "silu"), "silu"),
                                   ("sliding_window", sliding, None),
                                   ("partial_rotary_factor", rope.get("partial_rotary_factor", 1), 1)):
            if value != plain:
                raise ModelError(f"gguf: {what} = {value!r} is not known here",
                                 "`edge-sleep export --to merged` gives a folder for llama.cpp's own converter")
        theta = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
        return cls(*found, shape.read(folder), float(theta), float(config["rms_norm_eps"]))

    def linears(self) -> dict[str, tuple[int, int]]:
        """[out, in] of every weight that an adapter may have a part for, by transformers' name."""
        rooms = {known.rpartition(".")[2]: known for known in _IN_BLOCK}
        return {f"model.layers.{layer}.{rooms[name]}.weight": (outputs, inputs)
                for layer in range(self.of.layers) for name, (inputs, outputs) in self.of.linears.items()}

    def name(self, of: str) -> str:
        """The tensor's name for llama.cpp. Raises ModelError for one that it has no name for."""
        module, _, leaf = of.rpartition(".")
        match = _BLOCK.fullmatch(module)
        known = _IN_BLOCK.get(match[2]) if match else _TOP.get(module)
        if known is None:
            raise ModelError(f"gguf: {of} has no name in llama.cpp's {self.architecture}",
                             "`edge-sleep export --to merged` gives a folder for llama.cpp's own converter")
        return f"blk.{match[1]}.{known}.{leaf}" if match else f"{known}.{leaf}"

    def ordered(self, of: str, value: Any) -> Any:
        """The rows of a weight, bias or LoRA B of module or tensor `of` as llama.cpp wants them; a torch tensor."""
        heads = self._heads(of)
        if heads is None:
            return value
        return value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)

    def unordered(self, of: str, value: Any) -> Any:
        """The rows as they were before `ordered`."""
        heads = self._heads(of)
        if heads is None:
            return value
        return value.reshape(heads, value.shape[0] // heads // 2, 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)

    def _heads(self, of: str) -> int | None:
        """Heads in the rows of `of`, where llama.cpp wants each one's in another order."""
        known = {"q_proj": self.of.heads, "k_proj": self.of.kv_heads}
        return next((known[part] for part in of.split(".") if part in known), None) if self.paired else None

    def describe(self, writer: Any, name: str) -> None:
        """Write the hyperparameters into a gguf.GGUFWriter."""
        of = self.of
        writer.add_name(name)
        writer.add_block_count(of.layers)
        writer.add_context_length(of.context or 2048)
        writer.add_embedding_length(of.hidden)
        writer.add_feed_forward_length(of.intermediate)
        writer.add_head_count(of.heads)
        writer.add_head_count_kv(of.kv_heads)
        writer.add_key_length(of.head_size)
        writer.add_value_length(of.head_size)
        writer.add_rope_dimension_count(of.head_size)
        writer.add_rope_freq_base(self.rope_theta)
        writer.add_layer_norm_rms_eps(self.epsilon)
        writer.add_vocab_size(of.vocabulary)
