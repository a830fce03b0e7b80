"""The base for ONNX Runtime, built once: onnxruntime-genai's builder on the dequantised base, then opened for LoRA.

The builder's own adapter option is not used: it quantises the adapter's weights with the base's.
"""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_sleep.errors import DoesNotFit, ModelError
from edge_sleep.export import artefact, onnx_graph
from edge_sleep.model import shape

PACKAGES = ("onnx", "onnx_ir", "onnxruntime", "onnxruntime-genai")
# form -> (precision, options) of the builder
_FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fp32": ("fp32", ()), "int8": ("int8", ()), "k_quant_mixed": ("int4", ("algo_config=k_quant_mixed",))}
_KILLED = -9


def write(base_folder: Path, form: str, out: Path) -> dict:
    """Build into `out` (an empty folder); returns what the manifest says besides: the sites and what built it.

    Raises DeviceError naming the extra, ModelError with the builder's last words, DoesNotFit where it was killed.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            raise artefact.missing_library(package, "onnx-build")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f"{artefact.TEMPORARY}builder-") as scratch:
        precision, options = _FORMS[form]
        done = subprocess.run(
            [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(base_folder), "-o", str(out), "-p", precision,
             "-e", "cpu", "-c", scratch, "--extra_options", "hf_token=false", *options],
            capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})
    if done.returncode == _KILLED:
        raise DoesNotFit(f"building the {form} base for ONNX Runtime was killed: it needs more memory than there is",
                         "build it on a bigger machine and `edge-sleep export base --for ort --from DIR`")
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise ModelError(f"onnxruntime-genai cannot build this base: {words[-1] if words else done.returncode}",
                         "`edge-sleep export --to merged` or gguf serve this model")
    sites = onnx_graph.open_folder(out, shape.read(base_folder))
    return {"sites": [site.as_json() for site in sites], "made_with": artefact.versions(*PACKAGES)}

