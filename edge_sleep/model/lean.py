"""The base in 4-bit without ever being there in full: each weight is read, quantised, and put in its place.

The result is what transformers with bitsandbytes makes, bit for bit, at the memory of the 4-bit model and one layer; embedding
and head in int8 where that is wanted (model/embedding.py). What was quantised once is kept in the home's cache, by the base's
sha256, and read from there the next time.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.errors import IntegrityError, ModelError, StorageError
from edge_sleep.model import tensors
from edge_sleep.model.four_bit import quantised_on
from edge_sleep.ops import sizes
from edge_sleep.system.files import TEMPORARY, fsync_folder, read_json, storage_errors, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

QUANT_TYPE, DOUBLE_QUANT = "nf4", True


class NotSuited(Exception):
    """This model's files or layers need transformers' own loader; the text says why."""


def load(folder: Path, weight_files: list[Path], dtype: Any, device: str, cache: Path | None,
         int8_embedding: bool = False, between: Callable[[], object] = lambda: None) -> tuple[PreTrainedModel, str]:
    """(the model in evaluation mode, "cache" or "quantised"). Raises NotSuited before anything large is read.

    cache: the file that keeps the quantised weights; it is made where it is missing or not what was written.
    int8_embedding: the embedding and the head in int8, a scale a row. between: called before each weight.
    """
    model = _skeleton(folder, dtype)
    names = _expected(model)
    present = {name for name, _ in tensors.open_all(weight_files)}
    if strange := sorted(present - names.keys()):
        raise NotSuited(f"the files name {strange[0]}, which this architecture has not")
    tied = {f"{name}.weight" for name, module in model.named_modules() if module is model.get_output_embeddings()}
    if missing := sorted(name for name, kind in names.items() if name not in present and not (name in tied and kind != "4-bit")):
        raise NotSuited(f"the files lack {missing[0]}")
    four_bit = {name for name, kind in names.items() if kind == "4-bit"}
    eight_bit = _tables(model) & present if int8_embedding else set()
    cached = _from_cache(model, cache, device, dtype, four_bit, eight_bit, between) if cache is not None else False
    quantiser = quantised_on(device)               # asked once: on a GPU it reads what was proved there
    for name, file in tensors.open_all(weight_files):
        between()
        if name in four_bit:
            if not cached:
                value = file.read(name)
                _finite(file, name, value)      # the quantiser would make a number of it
                _place_quantised(model, name, value.to(dtype), quantiser, device)
                del value
        elif name in eight_bit:
            if not cached:
                _place_table(model, name, *_by_rows(file, name), dtype, device)
        else:
            value = file.read(name)
            _place(model, name, value.to(dtype) if value.is_floating_point() else value, device)
    if tied - present and eight_bit:
        from edge_sleep.model.embedding import install

        install(model, None, model.get_input_embeddings().table)
    elif tied - present:
        model.tie_weights()
    for name, buffer in list(model.named_buffers()):
        owner, leaf = _owner(model, name)
        owner._buffers[leaf] = buffer.to(device)
    if cache is not None and not cached:
        # Who cannot write the home can still talk to its companion; a night on a full disk is told so by what it must write.
        with suppress(StorageError, OSError):
            _to_cache(model, cache, four_bit, eight_bit)
    model.is_loaded_in_4bit = True
    return model.eval(), "cache" if cached else "quantised"


def _skeleton(folder: Path, dtype: Any) -> Any:
    """The architecture with its parameters on the meta device, linear layers in their 4-bit form."""
    import torch
    from accelerate import init_empty_weights
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "quantization_config", None):
        raise NotSuited("it is quantised already")
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if getattr(model, "_keep_in_fp32_modules", None):
        raise NotSuited("some of its layers stay in float32")
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if type(module).__name__ == "Conv1D":
            raise NotSuited("its linear layers are transposed (Conv1D)")
        if type(module) is torch.nn.Linear and module is not head:
            with torch.device("meta"):
                layer: Any = Linear4bit(module.in_features, module.out_features, module.bias is not None, dtype,
                                   compress_statistics=DOUBLE_QUANT, quant_type=QUANT_TYPE)
            layer.source_cls = type(module)
            layer.requires_grad_(False)
            model.set_submodule(name, layer)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _expected(model: Any) -> dict[str, str]:
    """Every name that the files may hold, and what it is: 4-bit, parameter or buffer."""
    from bitsandbytes.nn import Linear4bit

    names = {name: "parameter" for name, _ in model.named_parameters(remove_duplicate=False)}
    names |= {f"{name}.weight": "4-bit" for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    stored = model.state_dict().keys()
    return names | {name: "buffer" for name, _ in model.named_buffers() if name in stored}


def _owner(model: Any, name: str) -> tuple[Any, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _place(model: Any, name: str, value: Any, device: str) -> None:
    import torch

    owner, leaf = _owner(model, name)
    if leaf in owner._buffers:
        owner._buffers[leaf] = value.to(device)
    else:
        owner._parameters[leaf] = torch.nn.Parameter(value.to(device), requires_grad=False)


def _place_quantised(model: Any, name: str, value: Any, quantiser: str, device: str) -> None:
    from bitsandbytes.nn import Params4bit

    layer, _ = _owner(model, name)
    weight: Any = Params4bit(value, requires_grad=False, compress_statistics=DOUBLE_QUANT, quant_type=QUANT_TYPE,
                             quant_storage=layer.quant_storage, module=layer)
    layer.weight = weight.to(quantiser).to(device)


def _finite(file: tensors.TensorFile, name: str, value: Any) -> None:
    if not tensors.finite(value):
        raise ModelError(f"{file.path}: {name} holds values that are not finite", "copy or download the model again")


def _tables(model: Any) -> set[str]:
    """Names of the weights that are looked up by token or multiplied with every token: embedding and head."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return {f"{name}.weight" for name, module in model.named_modules() if any(module is end for end in ends)}


def _by_rows(file: tensors.TensorFile, name: str) -> tuple[Any, Any]:
    """(int8 values, scales) of a table, read and quantised some thousand rows at a time: it is never there in full."""
    import torch

    from edge_sleep.ops.int8 import quantise_rows

    count = file.entries[name]["shape"][0]
    parts = []
    for begin, end in sizes.tiles(count):
        rows = file.read(name, rows=slice(begin, end))
        _finite(file, name, rows)
        parts.append(quantise_rows(rows))
    return torch.cat([values for values, _ in parts]), torch.cat([scales for _, scales in parts])


def _place_table(model: Any, name: str, values: Any, scales: Any, dtype: Any, device: str) -> None:
    from edge_sleep.model.embedding import Int8Table, install

    table = Int8Table(values.to(device), scales.to(device), dtype)
    owner = model.get_submodule(name.removesuffix(".weight"))
    if owner is model.get_input_embeddings():
        install(model, table, None)
    else:
        install(model, None, table)


def _table(model: Any, name: str) -> Any:
    return model.get_submodule(name.removesuffix(".weight")).table


def _parts(model: Any, four_bit: set[str], eight_bit: set[str]) -> Iterator[tuple[str, Any]]:
    """What the cache holds: each quantised weight, then its scales; those of 4 bits as bitsandbytes names them."""
    for name in sorted(eight_bit):
        yield name, _table(model, name).values
        yield f"{name}.scales", _table(model, name).scales
    for name in sorted(four_bit):
        weight = _owner(model, name)[0].weight
        yield name, weight.data
        for part, value in weight.quant_state.as_dict(packed=True).items():
            yield f"{name}.{part}", value


def _to_cache(model: Any, cache: Path, four_bit: set[str], eight_bit: set[str]) -> None:
    with storage_errors(cache):
        cache.parent.mkdir(parents=True, exist_ok=True)
        staged = cache.parent / f"{TEMPORARY}{cache.name}.{os.getpid()}"
        try:
            sha256 = tensors.write(staged, _parts(model, four_bit, eight_bit))
            os.replace(staged, cache)
            fsync_folder(cache.parent)
        finally:
            staged.unlink(missing_ok=True)
        write_json(_receipt(cache), {"format": 1, "sha256": sha256})


def _receipt(cache: Path) -> Path:
    return cache.with_suffix(".json")


def _from_cache(model: Any, cache: Path, device: str, dtype: Any, four_bit: set[str], eight_bit: set[str],
                between: Callable[[], object]) -> bool:
    """Put the cached weights in their places; False where there are none, or they are not what was written.

    Hashed while they are read: a layer that was placed from a damaged file is placed again by the caller.
    """
    from bitsandbytes.nn import Params4bit

    if not (cache.is_file() and _receipt(cache).is_file()):
        return False
    digest = hashlib.sha256()
    placed = set()
    try:
        with tensors.TensorFile(cache) as file:
            for name, parts in _grouped(file.entries, four_bit | eight_bit):
                between()
                stats = {part.removeprefix(name): file.read(part, digest) for part in parts}
                if name in eight_bit:
                    _place_table(model, name, stats[""], stats[".scales"], dtype, device)
                else:
                    layer, _ = _owner(model, name)
                    layer.weight = Params4bit.from_prequantized(stats.pop(""), stats, device=device, module=layer)
                placed.add(name)
        promised = read_json(_receipt(cache), "receipt of the cache")["sha256"]
        return placed == four_bit | eight_bit and digest.hexdigest() == promised
    except (IntegrityError, KeyError, ValueError, OSError):
        return False


def _grouped(parts: Iterable[str], weights: set[str]) -> Iterator[tuple[str, list[str]]]:
    """(name of a weight, the names of its parts), in the order they lie in the file: a weight comes before its scales."""
    name, group = "", list[str]()
    for part in parts:
        if part in weights:
            if group:
                yield name, group
            name, group = part, []
        group.append(part)
    if group:
        yield name, group
