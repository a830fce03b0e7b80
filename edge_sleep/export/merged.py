"""The adapter merged into the dequantised base: a plain transformers folder, for vLLM, TensorRT-LLM and transformers itself.

The dequantised base is copied as it is, then only the adapted layers are read, changed and written in their place.
"""
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from edge_sleep.device.detect import Device
from edge_sleep.export import dense
from edge_sleep.export.lora import DORA, Lora, fits
from edge_sleep.model import tensors

CARRIES = frozenset({DORA})
WEIGHTS = dense.WEIGHTS


def write(base_folder: Path, lora: Lora, out: Path, dtype: str | None = None) -> None:
    """Write the merged model into `out` (an empty folder). dtype: its type; the base's own where it is left out.

    base_folder: a dequantised base that was hashed. Raises ModelError where the adapter does not fit it.
    """
    import torch

    with tensors.TensorFile(base_folder / dense.WEIGHTS) as file:
        fits(lora, shapes(file), "merged")
        own = {file.dtype(name) for name in file.entries}
        wanted = getattr(torch, dtype) if dtype else None
        if wanted is None or own == {wanted}:
            shutil.copyfile(base_folder / dense.WEIGHTS, out / dense.WEIGHTS)
            patch(file, lora, out / dense.WEIGHTS)
        else:
            tensors.stream(out / dense.WEIGHTS, [_converted(file, lora, name, wanted) for name in file.entries], {"format": "pt"})
    dense.companions(base_folder, out, dtype or str(next(iter(own))).removeprefix("torch."))


def shapes(file: tensors.TensorFile) -> dict[str, tuple[int, ...]]:
    return {name: tuple(entry["shape"]) for name, entry in file.entries.items()}


def patch(file: tensors.TensorFile, lora: Lora, target: Path) -> None:
    """Put the adapted layers into the copy `target` of `file`."""
    import torch

    descriptor = os.open(target, os.O_WRONLY)
    try:
        for module in lora.modules:
            name = f"{module}.weight"
            merged = lora.applied(module, file.read(name)).contiguous()
            _pwrite(descriptor, memoryview(merged.reshape(-1).view(torch.uint8).numpy()), file.offset(name))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pwrite(descriptor: int, view: memoryview, at: int) -> None:
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], at + done)


def _converted(file: tensors.TensorFile, lora: Lora, name: str, dtype: Any) -> tensors.Entry:
    def read() -> Any:
        module, _, leaf = name.rpartition(".")
        weight = file.read(name)
        if leaf == "weight" and module in lora.modules:
            weight = lora.applied(module, weight.float())
        return weight.to(dtype) if weight.is_floating_point() else weight

    kept = file.dtype(name)
    return tensors.Entry(name, dtype if kept.is_floating_point else kept, shapes(file)[name], read)


def load(folder: Path, device: Device) -> Any:
    """The merged model, as any user of transformers loads it."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True, trust_remote_code=False)
    return model.to(device.torch_name).eval()
