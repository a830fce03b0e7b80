"""An adapter for a base that was opened for LoRA: PEFT's matrices turned, scaled and laid side by side, in onnxruntime's file."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.errors import ModelError
from edge_sleep.export.lora import Lora
from edge_sleep.export.onnx_graph import Site
from edge_sleep.model import ort


def write(sites: Sequence[Site], lora: Lora, out: Path) -> None:
    """Write the `.onnx_adapter`. Raises ModelError where the adapter targets what the graph has not."""
    library = ort.library()
    made = parameters(sites, lora)
    adapter = library.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    adapter.set_parameters({name: library.OrtValue.ortvalue_from_numpy(value) for name, value in made.items()})
    adapter.export_adapter(str(out))


def parameters(sites: Sequence[Site], lora: Lora) -> dict[str, Any]:
    """Inputs of the graph by name, float32 numpy: A [in, r] and B [r, out] of each site that is adapted, the scale in B.

    Where a site holds several layers side by side (q, k and v), their As stand side by side and their Bs on the diagonal.
    """
    import numpy as np

    left = dict(lora.modules)
    made: dict[str, Any] = {}
    for site in sites:
        here = [(left.pop(module, None), width) for module, width in zip(site.modules, site.widths, strict=True)]
        present = [weights for weights, _ in here if weights is not None]
        if not present:
            continue
        b = np.zeros((sum(weights.a.shape[0] for weights in present), sum(site.widths)), np.float32)
        row = column = 0
        for weights, width in here:
            if weights is not None:
                if (weights.b.shape[0], weights.a.shape[1]) != (width, site.inputs):
                    raise ModelError(f"onnx: adapter {lora.id} has a layer of {[weights.b.shape[0], weights.a.shape[1]]} for "
                                     f"{site.name}, which takes {[width, site.inputs]}", "it grew on another base")
                rank = weights.a.shape[0]
                b[row:row + rank, column:column + width] = (lora.scale * weights.b).T.numpy()
                row += rank
            column += width
        made[site.a] = np.ascontiguousarray(np.concatenate([weights.a.T.numpy() for weights in present], axis=1))
        made[site.b] = b
    if left:
        raise ModelError(f"onnx: adapter {lora.id} targets {min(left)}, which the exported base has not open",
                         "`edge-sleep export --to merged` or gguf carry it")
    return made
