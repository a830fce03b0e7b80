"""The dequantised base: every weight as the judged model computes with it, in a plain transformers folder.

An adapter is merged onto these weights and no others: the 4-bit rounding that it learned beside is in them. The folder is made
once and kept in the home's cache by the base's sha256, so that a later night reads it instead of loading the model.
"""
from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_sleep.device.detect import Device
from edge_sleep.errors import IntegrityError
from edge_sleep.model import base as base_model
from edge_sleep.model import tensors
from edge_sleep.model.base import Base
from edge_sleep.ops import sizes
from edge_sleep.system.files import fsync_folder, new_folder, publish_folder, read_json, sha256_file, write_json

WEIGHTS = "model.safetensors"
RECEIPT = "receipt.json"
_WEIGHT_FILES = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".onnx")


def folder_of(base: Base, device: Device) -> Path:
    """Where the dequantised base lies: in the home's cache, by what decides its bytes."""
    if base.cache is None:
        raise ValueError("a base without a home has no place for what is made from it")
    kind = device.torch_name.partition(":")[0]
    return base.cache / f"base-{base.sha256[:16]}-dense-{base.quantisation}-{base.compute_dtype}-{kind}"


def ensure(base: Base, device: Device) -> Path:
    """The folder of the dequantised base, hashed; made where it is missing or not what was written."""
    folder = folder_of(base, device)
    return folder if whole(folder) else make(base, device)


def make(base: Base, device: Device) -> Path:
    """Load the judged base and write it out, one weight at a time: no more than it and one readable layer is there at once."""
    folder = folder_of(base, device)
    with new_folder(folder) as staged:
        model = base_model.load(base, device).model
        tensors.stream(staged / WEIGHTS, list(weights_of(model)), {"format": "pt"})
        del model
        companions(base.place.folder, staged, base.compute_dtype)
        write_json(staged / RECEIPT, {"format": 1, "sha256": sha256_file(staged / WEIGHTS)})
        if folder.exists():
            shutil.rmtree(folder)
            fsync_folder(folder.parent)
        publish_folder(staged, folder)
    return folder


def whole(folder: Path) -> bool:
    """Whether the weights are there and still hash to what was written."""
    if not ((folder / RECEIPT).is_file() and (folder / WEIGHTS).is_file()):
        return False
    try:
        promised = read_json(folder / RECEIPT, "receipt of the cache")["sha256"]
    except (IntegrityError, KeyError, TypeError):
        return False
    return sha256_file(folder / WEIGHTS) == promised


def companions(source: Path, target: Path, dtype: str) -> None:
    """Copy what belongs to a model besides its weights: configuration, tokenizer, template, licence."""
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.name.endswith(_WEIGHT_FILES) and file.name != RECEIPT and not file.name.startswith("."):
            shutil.copyfile(file, target / file.name)
    config = json.loads((target / "config.json").read_bytes())
    config.pop("torch_dtype", None)
    write_json(target / "config.json", config | {"dtype": dtype})


def weights_of(model: Any) -> Iterator[tensors.Entry]:
    """Every weight of a loaded 4-bit base, readable, in the type it computes in; a tied head once."""
    ends = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    names = {id(module): name for name, module in model.named_modules()}
    tables: list[Any] = []
    for end in ends.values():
        table = getattr(end, "table", None)
        if table is not None and all(table is not seen for seen in tables):
            tables.append(table)
            yield _of_table(f"{names[id(end)]}.weight", table)
    for name, parameter in model.named_parameters():
        yield _of_parameter(name, parameter)
    inside = {id(buffer) for table in tables for buffer in table.buffers()}
    stored = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        if name in stored and id(buffer) not in inside:
            yield _as_it_is(name, buffer)


def _as_it_is(name: str, value: Any) -> tensors.Entry:
    return tensors.Entry(name, value.dtype, tuple(value.shape), lambda: value)


def _of_parameter(name: str, parameter: Any) -> tensors.Entry:
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return _as_it_is(name, parameter)
    from edge_sleep.ops.nf4 import dequantise

    return tensors.Entry(name, state.dtype, tuple(state.shape), lambda: dequantise(parameter, state.dtype))


def _of_table(name: str, table: Any) -> tensors.Entry:
    import torch

    def read() -> Any:
        head, count = table.head(), len(table.values)
        return torch.cat([head.lookup(torch.arange(begin, end, device=table.values.device)) for begin, end in sizes.tiles(count)])

    return tensors.Entry(name, table.compute_dtype, tuple(table.values.shape), read)
