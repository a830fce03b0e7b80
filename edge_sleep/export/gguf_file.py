"""GGUF for llama.cpp and Ollama: the base, an adapter beside it, or both in one file; a tensor at a time.

The base is written from the dequantised one. An adapter is its two matrices a layer, as PEFT has them. A merged file is a copy of
the base with the adapted layers written anew in their places.
"""
from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError
from edge_sleep.export import artefact, dense, gguf_words
from edge_sleep.export.gguf_shape import GgufShape
from edge_sleep.export.lora import Lora, fits
from edge_sleep.export.merged import shapes
from edge_sleep.model import tensors
from edge_sleep.ops import sizes

BASE, ADAPTER, MERGED = "base.gguf", "adapter.gguf", "model.gguf"
FORMS = ("f32", "f16", "q8_0")
_LARGEST_F16 = 65504.0


def library() -> Any:
    """The gguf package. Raises DeviceError naming the extra where it is missing."""
    try:
        import gguf
    except ImportError:
        raise artefact.missing_library("gguf", "gguf") from None
    return gguf


def write_base(base_folder: Path, form: str, out: Path, name: str, tokenizer: Any, system_prompt: str) -> None:
    """Write the dequantised base as GGUF in `form`. Raises ModelError naming what llama.cpp would not understand."""
    gguf = library()
    shape = GgufShape.read(base_folder)
    writer = gguf.GGUFWriter(out, shape.architecture)
    shape.describe(writer, name)
    gguf_words.write(writer, base_folder, shape.of.vocabulary, tokenizer, system_prompt)
    writer.add_file_type({"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16,
                          "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}[form])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    with tensors.TensorFile(base_folder / dense.WEIGHTS) as file:
        stored = {of: _stored_as(form, extent) for of, extent in shapes(file).items()}
        for of, kind in stored.items():
            extent, code = shapes(file)[of], _code(gguf, kind)
            size = _bytes(gguf, extent, code)
            as_bytes = kind == "q8_0"
            writer.add_tensor_info(shape.name(of), (*extent[:-1], size // math.prod(extent[:-1])) if as_bytes else extent,
                                   _numpy(kind), size, code)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for of, kind in stored.items():
            writer.write_tensor_data(encoded(gguf, of, shape.ordered(of, file.read(of)), kind))
    _finish(writer)


def write_adapter(shape: GgufShape, lora: Lora, out: Path) -> None:
    """Write an adapter for llama.cpp's LoRA. Its scale is alpha/r there, so a rank-stabilised one says alpha times sqrt(r)."""
    gguf = library()
    fits(lora, shape.linears(), "gguf")
    writer = gguf.GGUFWriter(out, shape.architecture)
    writer.add_name(lora.id)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora.scale * lora.rank)
    for module, weights in lora.modules.items():
        name = shape.name(f"{module}.weight")
        writer.add_tensor(f"{name}.lora_a", weights.a.contiguous().numpy())
        writer.add_tensor(f"{name}.lora_b", shape.ordered(module, weights.b).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    _finish(writer)


def write_merged(base_folder: Path, base_file: Path, lora: Lora, out: Path) -> None:
    """Copy the base's GGUF, then write the adapted layers in their places: as long, so nothing moves."""
    gguf = library()
    shape = GgufShape.read(base_folder)
    shutil.copyfile(base_file, out)
    places = {tensor.name: tensor for tensor in gguf.GGUFReader(base_file).tensors}
    with tensors.TensorFile(base_folder / dense.WEIGHTS) as file:
        fits(lora, shapes(file), "gguf")
        descriptor = os.open(out, os.O_WRONLY)
        try:
            for module in lora.modules:
                of = f"{module}.weight"
                place = places[shape.name(of)]
                merged = shape.ordered(of, lora.applied(module, file.read(of).float()))
                data = encoded(gguf, of, merged, place.tensor_type.name.lower())
                if data.nbytes != place.n_bytes:
                    raise IntegrityError(f"{base_file}: {place.name} has {place.n_bytes} bytes, its layer {data.nbytes}",
                                         "`edge-sleep export base --for gguf` makes it again")
                written = os.pwrite(descriptor, data.tobytes(), place.data_offset)
                if written != data.nbytes:
                    raise OSError(f"only {written} of {data.nbytes} bytes of {place.name} were written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_back(file: Path) -> dict[str, Any]:
    """Every tensor of a GGUF by llama.cpp's name, dequantised: float32 numpy arrays. Raises IntegrityError where it is torn."""
    gguf = library()
    try:
        return {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in tensor.shape[::-1]])
                for tensor in gguf.GGUFReader(file).tensors}
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise IntegrityError(f"{file} is not a whole GGUF file: {error}", "`edge-sleep export` makes it again") from error


def alpha_of(file: Path) -> float:
    """The alpha that an adapter's GGUF says."""
    gguf = library()
    return float(gguf.GGUFReader(file).fields[gguf.Keys.Adapter.LORA_ALPHA].contents())


def encoded(gguf: Any, of: str, value: Any, kind: str) -> Any:
    """A weight (torch, any float) as numpy in `kind`; Q8_0 some thousand rows at a time, float32 in between."""
    import numpy as np

    if kind == "f32":
        return value.float().contiguous().numpy()
    if kind == "f16":
        if value.abs().max().item() > _LARGEST_F16:
            raise IntegrityError(f"gguf: {of} holds a value too large for F16", "`--set export.gguf=f32`")
        return value.half().contiguous().numpy()
    parts = [gguf.quants.quantize(value[begin:end].float().contiguous().numpy(), gguf.GGMLQuantizationType.Q8_0)
             for begin, end in sizes.tiles(value.shape[0])]
    return np.concatenate(parts)


def _stored_as(form: str, extent: tuple[int, ...]) -> str:
    """Norms and biases stay whole; a row that Q8_0's blocks of 32 do not fill is F16."""
    if len(extent) == 1:
        return "f32"
    return "f16" if form == "q8_0" and extent[-1] % 32 else form


def _code(gguf: Any, kind: str) -> Any:
    return gguf.GGMLQuantizationType[kind.upper()]


def _numpy(kind: str) -> Any:
    import numpy as np

    return {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16), "q8_0": np.dtype(np.uint8)}[kind]


def _bytes(gguf: Any, extent: tuple[int, ...], code: Any) -> int:
    block, size = gguf.GGML_QUANT_SIZES[code]
    return math.prod(extent) // block * size


def _finish(writer: Any) -> None:
    for stream in writer.fout or []:
        stream.flush()
        os.fsync(stream.fileno())
    writer.close()
