"""A base in ONNX Runtime with the day's adapter in it, which another morning's replaces without loading the base again.

Only `session.run` is used: an adapter on the run options is silently ignored by IO binding, and the base would answer.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.errors import DeviceError, IntegrityError

GRAPH = "model.onnx"
ADAPTER = "adapter.onnx_adapter"
_PIECE = 128                               # tokens at once: the graph makes logits of every one, V wide
_ERRORS_ONLY = 3                           # below that it warns once for every open input


def library() -> Any:
    """onnxruntime. Raises DeviceError where it is missing, or too old to swap adapters."""
    try:
        import onnxruntime
    except ImportError:
        raise DeviceError("onnxruntime is not installed, and this format needs it", "`pip install edge_sleep[onnx]`") from None
    if not hasattr(onnxruntime, "AdapterFormat"):
        raise DeviceError(f"onnxruntime {onnxruntime.__version__} knows no adapters", "use 1.20 or newer")
    return onnxruntime


class OrtModel:
    """One session on the base export in `folder`; `use` changes the adapter between two calls."""

    def __init__(self, folder: Path, threads: int = 0, providers: Sequence[str] = ("CPUExecutionProvider",)):
        """threads: of one product; 0 is the machine's default. Raises IntegrityError where the graph does not load."""
        self._ort = library()
        options = self._ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads
        try:
            self.session = self._ort.InferenceSession(str(folder / GRAPH), options, providers=list(providers))
        except Exception as error:         # onnxruntime's own classes differ from version to version
            raise IntegrityError(f"{folder / GRAPH} does not load: {str(error).splitlines()[0]}",
                                 "`edge-sleep export base --for ort` makes it again") from error
        self._past = {value.name: value for value in self.session.get_inputs() if value.name.startswith("past_key_values.")}
        self._outputs = [value.name for value in self.session.get_outputs()]
        self.adapter: Path | None = None
        self._held: Any = None
        self._run = self._options()
        self.restart()

    def use(self, adapter: Path | None) -> None:
        """Speak with this `.onnx_adapter` from the next call on; None: the base alone.

        The file has no checksum of its own: the caller has it verified. Raises IntegrityError where it does not parse.
        """
        held = None
        if adapter is not None:
            try:
                held = self._ort.LoraAdapter()
                held.Load(str(adapter))
            except Exception as error:
                raise IntegrityError(f"{adapter} is not an adapter of ONNX Runtime: {str(error).splitlines()[0]}",
                                     "`edge-sleep export --to onnx` makes it again") from error
        run = self._options()
        if held is not None:
            run.add_active_adapter(held)
        self.adapter, self._held, self._run = adapter, held, run
        self.restart()

    def _options(self) -> Any:
        run = self._ort.RunOptions()
        run.log_severity_level = _ERRORS_ONLY
        return run

    def logits(self, ids: Sequence[int]) -> Any:
        """Logits [T, V] after each of `ids`, as a torch tensor."""
        import torch

        return torch.from_numpy(self._forward(ids, 0, self._empty())["logits"][0])

    def restart(self) -> None:
        """Forget what was fed."""
        self._kept, self._seen = self._empty(), 0

    def feed(self, ids: Sequence[int]) -> Any:
        """Logits [V], float32, for what follows everything fed since `restart`, these ids last."""
        import torch

        for start in range(0, len(ids), _PIECE):
            piece = ids[start:start + _PIECE]
            out = self._forward(piece, self._seen, self._kept)
            self._seen += len(piece)
            self._kept = {name: out[name.replace("past_key_values.", "present.", 1)] for name in self._past}
        return torch.from_numpy(out["logits"][0, -1]).float()

    def _forward(self, ids: Sequence[int], seen: int, past: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        feeds = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, seen + len(ids)), np.int64), **past}
        return dict(zip(self._outputs, self.session.run(self._outputs, feeds, self._run), strict=True))

    def _empty(self) -> dict[str, Any]:
        import numpy as np

        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return {name: np.zeros((1, value.shape[1], 0, self._head_size(value)), kinds[value.type])
                for name, value in self._past.items()}

    def _head_size(self, value: Any) -> int:
        if isinstance(value.shape[3], int):
            return value.shape[3]
        found = self.session.get_modelmeta().custom_metadata_map.get("edge_sleep.head_size")
        if found is None:
            raise IntegrityError("this graph does not say the size of an attention head", "`edge-sleep export base --for ort`")
        return int(found)
