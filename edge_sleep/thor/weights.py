"""safetensors from another machine: everything its header says is held against the file before a library may believe it.

The form: 8 bytes length of the header, little-endian; the header, JSON {name: {dtype, shape, data_offsets}}; the tensors'
bytes, which the offsets cover without gap or overlap.
"""
from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.errors import RemoteRefused
from edge_sleep.system import foreign

HEADER_LIMIT = 1 << 20
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_REFUSED = "do not load it; ask the machine it came from for a new one"


@dataclass(frozen=True)
class Form:
    """What a tensor is, without its values."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def forms(file: Path, what: str) -> dict[str, Form]:
    """The tensors in `file`, by name. Raises RemoteRefused naming `what` is not as the form wants it; loads nothing."""
    def refuse(why: str) -> RemoteRefused:
        return RemoteRefused(f"{what}: {why}", _REFUSED)

    size = file.stat().st_size
    with open(file, "rb") as stream:
        first = stream.read(8)
        if first[:1] == b"\x80" and first[1:2] in b"\2\3\4\5" or first[:4] in (b"PK\3\4", b"PK\5\6"):
            raise refuse("it is a pickle or an archive under the name of safetensors")
        if len(first) < 8:
            raise refuse("no safetensors, or cut short")
        length, = struct.unpack("<Q", first)
        if length > HEADER_LIMIT:
            raise refuse(f"its header is too large: {length} bytes, at most {HEADER_LIMIT} are read")
        if length + 8 > size:
            raise refuse(f"its header of {length} bytes reaches outside of the file ({size} bytes)")
        document = foreign.document(stream.read(length), f"{what}: its header", limit_bytes=HEADER_LIMIT, deepest=4)
    if not isinstance(document, dict):
        raise refuse("its header is no list of tensors")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refuse("its metadata is no text")
    found, places = {}, []
    for name, entry in document.items():
        found[name], begin, end = _form(name, entry, size - 8 - length, refuse)
        places.append((begin, end, name))
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            raise refuse(f"{_shown(name)}: its offsets {'overlap another tensor' if begin < at else 'leave a gap'}")
        at = end
    if at != size - 8 - length:
        raise refuse(f"{size - 8 - length - at} bytes belong to no tensor")
    return found


def _form(name: str, entry: Any, room: int, refuse) -> tuple[Form, int, int]:
    if not name.isprintable() or not 0 < len(name) <= 256:
        raise refuse(f"{_shown(name)} is no name of a tensor")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse(f"{_shown(name)} does not say dtype, shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise refuse(f"{_shown(name)} has the dtype {ascii(dtype)[:24]}, which is not read")
    if not isinstance(shape, list) or len(shape) > 8 \
            or not all(type(length) is int and 0 <= length < 1 << 40 for length in shape):
        raise refuse(f"{_shown(name)} has no shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets) \
            or not 0 <= offsets[0] <= offsets[1] <= room:
        raise refuse(f"{_shown(name)}: its offsets reach outside of the file")
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise refuse(f"{_shown(name)}: its offsets are not the size of {dtype} {shape}")
    return Form(dtype, tuple(shape)), offsets[0], offsets[1]


def _shown(name: str) -> str:
    return ascii(name[:120])


def tensors(file: Path, what: str) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of a file whose `forms` were checked, one at a time. Raises RemoteRefused where the library finds more."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as reader:
            for name in reader.keys():               # noqa: SIM118 - no mapping, and it has no iterator
                yield name, reader.get_tensor(name)
    except SafetensorError as error:
        raise RemoteRefused(f"{what}: {str(error)[:120]}", _REFUSED) from None


def refuse_others(found: Mapping[str, Form], wanted: Mapping[str, Form], what: str) -> None:
    """Raises RemoteRefused naming the first tensor that is missing, too much, or of another shape or dtype."""
    for word, names in (("is missing", wanted.keys() - found.keys()), ("is one too many", found.keys() - wanted.keys())):
        if names:
            raise RemoteRefused(f"{what}: tensor {_shown(min(names))} {word} ({len(names)} such)", _REFUSED)
    for name, form in wanted.items():
        if found[name].dtype != form.dtype:
            raise RemoteRefused(f"{what}: tensor {_shown(name)} has the dtype {found[name].dtype}, not {form.dtype}", _REFUSED)
        if found[name].shape != form.shape:
            raise RemoteRefused(f"{what}: tensor {_shown(name)} has the shape {list(found[name].shape)}, not {list(form.shape)}",
                                _REFUSED)


def refuse_infinite(file: Path, what: str) -> None:
    """Raises RemoteRefused naming the first tensor with a NaN or an infinity."""
    import torch

    for name, value in tensors(file, what):
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise RemoteRefused(f"{what}: tensor {_shown(name)} holds values that are not finite (NaN or infinity)", _REFUSED)
