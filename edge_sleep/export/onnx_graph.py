"""Open a decoder's ONNX graph for LoRA: behind each linear layer two small products whose matrices are inputs, zero by default.

x @ W becomes x @ W + (x @ A) @ B under the layer's own name, whatever holds W (a plain MatMul, or MatMulNBits in 8 or 4 bits). A
is [inputs, r] and B [r, outputs] of any rank; without an adapter both are zeros of rank 1, and the sum is the base's bit for bit.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import ModelError
from edge_sleep.model.ort import GRAPH
from edge_sleep.model.shape import Shape

_LAYER = re.compile(r"/model/layers\.(\d+)/(attn|mlp)/(\w+_proj)/MatMul(?:_Q\d+)?")
_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
_ROOM = {"attn": "self_attn", "mlp": "mlp"}


@dataclass(frozen=True)
class Site:
    """One product of the graph. modules: of the base, in the order their outputs lie side by side, each with its width."""

    name: str
    inputs: int
    modules: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def a(self) -> str:
        return f"{self.name}.lora_A"

    @property
    def b(self) -> str:
        return f"{self.name}.lora_B"

    def as_json(self) -> dict:
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Site:
        return cls(document["name"], document["inputs"], tuple(document["modules"]), tuple(document["widths"]))


def open_folder(folder: Path, shape: Shape) -> list[Site]:
    """Open the graph in `folder`, in place; its weights lie in a file of their own and are not touched."""
    import onnx

    model = onnx.load(folder / GRAPH, load_external_data=False)
    sites = open_lora(model, shape)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edge_sleep.head_size", str(shape.head_size)
    onnx.save(model, folder / GRAPH)
    return sites


def open_lora(model: Any, shape: Shape) -> list[Site]:
    """Insert the products into a ModelProto. Raises ModelError where a layer is not where it is expected."""
    from onnx import TensorProto, helper

    graph = model.graph
    weights = {value.name: value for value in graph.initializer}
    sites, nodes = [], []
    for node in graph.node:
        nodes.append(node)
        match = _LAYER.fullmatch(node.name) if node.op_type in ("MatMul", "MatMulNBits") else None
        if match is None:
            continue
        inputs, outputs, kind = _extent(node, weights)
        site = _site(match, inputs, outputs, shape)
        sites.append(site)
        result, whole = node.output[0], f"{node.output[0]}/base"
        node.output[0] = whole
        nodes += [helper.make_node("MatMul", [node.input[0], site.a], [f"{result}/lora_xA"], f"{node.name}/lora_xA"),
                  helper.make_node("MatMul", [f"{result}/lora_xA", site.b], [f"{result}/lora"], f"{node.name}/lora_xAB"),
                  helper.make_node("Add", [whole, f"{result}/lora"], [result], f"{node.name}/lora_Add")]
        rank = f"{site.name}.rank"
        opened: tuple[tuple[str, list[int | str], list[int]], ...] = (
            (site.a, [inputs, rank], [inputs, 1]), (site.b, [rank, outputs], [1, outputs]))
        for name, dims, empty in opened:
            graph.input.append(helper.make_tensor_value_info(name, kind, dims))
            size = empty[0] * empty[1] * (4 if kind == TensorProto.FLOAT else 2)
            graph.initializer.append(helper.make_tensor(name, kind, empty, bytes(size), raw=True))
    found = {module for site in sites for module in site.modules}
    wanted = {f"model.layers.{layer}.{'mlp' if name in ('gate_proj', 'up_proj', 'down_proj') else 'self_attn'}.{name}"
              for layer in range(shape.layers) for name in shape.linears}
    if lost := sorted(wanted - found):
        raise ModelError(f"onnx: the graph has no layer {lost[0]} that could be opened",
                         "`edge-sleep export --to merged` or gguf serve this model")
    del graph.node[:]
    graph.node.extend(nodes)
    model.ir_version = max(model.ir_version, 4)        # from 4 on an input may have a default
    return sites


def _extent(node: Any, weights: Mapping[str, Any]) -> tuple[int, int, int]:
    """(inputs, outputs, type of the arithmetic) of a product."""
    if node.op_type == "MatMul":
        weight = weights[node.input[1]]
        return weight.dims[0], weight.dims[1], weight.data_type
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return attributes["K"], attributes["N"], weights[node.input[2]].data_type


def _site(match: re.Match, inputs: int, outputs: int, shape: Shape) -> Site:
    layer, room, name = match.groups()
    parts = _FUSED.get(name, (name,))
    widths = tuple(shape.linears[part][1] for part in parts)
    if sum(widths) != outputs or any(shape.linears[part][0] != inputs for part in parts):
        raise ModelError(f"onnx: {match.string} is [{inputs}, {outputs}], the configuration says {list(widths)} side by side",
                         "`edge-sleep export --to merged` or gguf serve this model")
    return Site(f"lora.{layer}.{room}.{name}", inputs,
                tuple(f"model.layers.{layer}.{_ROOM[room]}.{part}" for part in parts), widths)
