"""Safetensors, one tensor at a time: read straight to its place, written without a second copy in memory.

The library maps the whole file, and what it maps counts as resident until something else needs the memory. On a
board whose GPU shares that memory the copy and its source are both there at the worst moment; `pread` needs no map.
Format: https://github.com/huggingface/safetensors (8 bytes of length, a JSON header, the tensors).
"""
from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_sleep.errors import IntegrityError

_LONGEST_HEADER = 100 << 20
_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
          "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}
_CODES = {name: code for code, name in _NAMES.items()}


class TensorFile:
    """One safetensors file, open for reading. Use as a context manager. Raises IntegrityError where it is not whole."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(self._descriptor).st_size
            length = int.from_bytes(os.pread(self._descriptor, 8, 0), "little")
            if not 0 < length <= min(_LONGEST_HEADER, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(os.pread(self._descriptor, length, 8))
            header.pop("__metadata__", None)
            self._start = 8 + length
            self.entries: dict[str, dict] = dict(sorted(header.items(), key=lambda entry: entry[1]["data_offsets"][0]))
            ends = [entry["data_offsets"][1] for entry in self.entries.values()]
            if ends and max(ends) > size - self._start:
                raise ValueError(f"{max(ends) + self._start - size} bytes are missing at its end")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            os.close(self._descriptor)
            raise IntegrityError(f"{path} is not a whole safetensors file: {error}", "copy or download it again") from error

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def offset(self, name: str) -> int:
        """Where in the file the bytes of a tensor begin."""
        return self._start + self.entries[name]["data_offsets"][0]

    def dtype(self, name: str) -> Any:
        """The torch.dtype of a tensor. Raises IntegrityError for one that is not known."""
        import torch

        code = self.entries[name]["dtype"]
        if code not in _NAMES:
            raise IntegrityError(f"{self.path}: {name} is of the unknown type {code}", "save the model in float or bfloat16")
        return getattr(torch, _NAMES[code])

    def read(self, name: str, digest: Any = None, rows: slice | None = None) -> Any:
        """The tensor, or these of its rows (all others unread), in memory of its own; its bytes go to `digest` (hashlib) too."""
        import torch

        entry = self.entries[name]
        begin, end = entry["data_offsets"]
        dtype = self.dtype(name)
        promised = math.prod(entry["shape"]) * dtype.itemsize
        if promised != end - begin:
            raise IntegrityError(f"{self.path}: {name} has {end - begin} bytes, its shape says {promised}")
        shape = list(entry["shape"])
        if rows is not None:
            first, last, _ = rows.indices(shape[0])
            begin += first * (promised // shape[0])
            shape[0] = last - first
        tensor = torch.empty(shape, dtype=dtype)
        if tensor.nbytes:
            view = memoryview(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
            done = 0
            while done < len(view):
                got = os.preadv(self._descriptor, [view[done:done + (64 << 20)]], self._start + begin + done)
                if not got:
                    raise IntegrityError(f"{self.path} ended inside {name}", "copy or download it again")
                done += got
            if digest is not None:
                digest.update(view)
        return tensor


@dataclass(frozen=True)
class Entry:
    """A tensor that is still to come: what the header says of it, and how to have it."""

    name: str
    dtype: Any                             # a torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Any]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write(path: Path, tensors: Iterable[tuple[str, Any]]) -> str:
    """Write named tensors to `path` one after another; returns the sha256 of their bytes, without the header.

    Not durable by itself: the caller publishes the file.
    """
    def entry(name: str, tensor: Any) -> Entry:
        return Entry(name, tensor.dtype, tuple(tensor.shape), lambda: tensor)

    return stream(path, [entry(name, tensor) for name, tensor in tensors])


def stream(path: Path, entries: Sequence[Entry], metadata: dict[str, str] | None = None) -> str:
    """`write` for tensors that are had one by one, so that no two are there at once."""
    import torch

    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for entry in entries:
        header[entry.name] = {"dtype": _CODES[str(entry.dtype).removeprefix("torch.")], "shape": list(entry.shape),
                              "data_offsets": [at, at + entry.size_bytes]}
        at += entry.size_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            tensor = entry.read()
            if (tensor.dtype, tuple(tensor.shape)) != (entry.dtype, entry.shape):
                raise ValueError(f"{entry.name} came as {tensor.dtype} {tuple(tensor.shape)}, its header says otherwise")
            if tensor.nbytes:
                view = memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
                out.write(view)
                digest.update(view)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def finite(tensor: Any) -> bool:
    """Whether no value is a NaN or an infinity: the smallest and the largest tell, without a mask of the tensor's size."""
    import torch

    return all(torch.isfinite(end) for end in tensor.aminmax())


def open_all(paths: Iterable[Path]) -> Iterator[tuple[str, TensorFile]]:
    """(name, file) of every tensor in the shards, which stay open until the iteration ends."""
    for path in paths:
        with TensorFile(path) as file:
            for name in file.entries:
                yield name, file
