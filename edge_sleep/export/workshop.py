"""Every kind of artefact, each one call: what it is made of and what it is named by."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Export
from edge_sleep.device.detect import Device
from edge_sleep.errors import ModelError, UsageError
from edge_sleep.export import artefact, dense, gguf_file, lora, merged, modelfile, onnx_adapter, onnx_base
from edge_sleep.export.artefact import Made, Plan
from edge_sleep.export.gguf_shape import GgufShape
from edge_sleep.export.onnx_graph import Site
from edge_sleep.model import adapter as peft
from edge_sleep.model import base as base_model
from edge_sleep.model import ort, shape
from edge_sleep.model.base import Base
from edge_sleep.system.home import Home

MODELFILE = "Modelfile"
GGUF_MERGED = "gguf-merged"
# What each kind carries beyond plain LoRA.
_CARRIES: dict[str, frozenset[str]] = {"merged": merged.CARRIES, GGUF_MERGED: merged.CARRIES}


@dataclass(frozen=True)
class Workshop:
    """A home's base and settings, from which artefacts are made. created: the time that manifests say."""

    home: Home
    base: Base
    device: Device
    settings: Export
    system_prompt: str
    created: str

    @cached_property
    def tokenizer(self) -> Any:
        return base_model.load_tokenizer(self.base.place)

    @cached_property
    def dense(self) -> Path:
        """The dequantised base, made and hashed at most once."""
        return dense.ensure(self.base, self.device)

    def base_plan(self, kind: str) -> Plan:
        """What a base export of `kind` ("onnx" or "gguf") would be; makes nothing."""
        if kind == "onnx":
            return Plan("onnx", self.base, settings={"form": self.settings.onnx})
        if kind == "gguf":
            return Plan("gguf", self.base, settings={"form": self.settings.gguf})
        raise UsageError(f"a base is exported for onnx or gguf, not for {kind}")

    def base_export(self, kind: str) -> tuple[Made, bool]:
        """(the base for ONNX Runtime or llama.cpp, whether it was made now)."""
        plan = self.base_plan(kind)
        return artefact.make(self.home, plan, self.created, self._onnx_base if kind == "onnx" else self._gguf_base)

    def _below(self, kind: str) -> Made:
        """The base export that an adapter is made beside; its bytes are hashed by who loads them, not each morning here."""
        there = artefact.existing(self.home, self.base_plan(kind), hashed=False)
        return there or self.base_export(kind)[0]

    def adapter_export(self, kind: str, adapter_id: str) -> tuple[Made, bool]:
        """(the artefact of an adapter, whether it was made now); its base export is made where there is none.

        kind: adapter, merged, onnx, gguf or gguf-merged. Raises ModelError naming what that form cannot carry.
        """
        folder = self.home.adapter(adapter_id)
        fill: Callable[[Path], dict | None]
        if kind == "adapter":
            lora.whole(folder, self.base.sha256)
            return self._make(kind, folder, None, {}, lambda out: self._peft(folder, out))
        read = lora.read(folder, kind, _CARRIES.get(kind, ()), self.base.sha256)
        if kind == "merged":
            dtype = self.base.compute_dtype if self.settings.merged == "auto" else self.settings.merged
            fill = lambda out: merged.write(self.dense, read, out, dtype)          # noqa: E731
            return self._make(kind, folder, None, {"dtype": dtype}, fill)
        if kind == "onnx":
            needs = self._below("onnx")
            sites = [Site.read(site) for site in needs.document["sites"]]
            return self._make(kind, folder, needs, {}, lambda out: onnx_adapter.write(sites, read, out / ort.ADAPTER))
        if kind in ("gguf", GGUF_MERGED):
            needs = self._below("gguf") if kind == "gguf" else self.base_export("gguf")[0]
            fill = (lambda out: self._gguf_adapter(read, needs, out)) if kind == "gguf" else \
                   (lambda out: self._gguf_merged(read, needs, out))
            return self._make(kind, folder, needs, {"form": self.settings.gguf, "system_prompt": self.system_prompt}, fill)
        raise UsageError(f"there is no export to {kind}", "adapter, merged, onnx or gguf")

    def _make(self, kind: str, folder: Path, needs: Made | None, settings: dict,
              fill: Callable[[Path], dict | None]) -> tuple[Made, bool]:
        named = manifest.named(manifest.read(folder))
        # A merged file holds all of its base: only what lies beside it is needed to load it.
        plan = Plan(kind, self.base, {key: named[key] for key in ("id", "sha256")}, settings,
                    None if kind == GGUF_MERGED else needs)
        return artefact.make(self.home, plan, self.created, fill)

    def _peft(self, folder: Path, out: Path) -> dict:
        for name in (peft.WEIGHTS, peft.CONFIG):
            shutil.copyfile(folder / name, out / name)
        return {}

    def _onnx_base(self, out: Path) -> dict:
        return onnx_base.write(self.dense, self.settings.onnx, out)

    def _gguf_base(self, out: Path) -> dict:
        gguf_file.write_base(self.dense, self.settings.gguf, out / gguf_file.BASE, Path(self.base.place.source).name,
                             self.tokenizer, self.system_prompt)
        return {"made_with": artefact.versions("gguf")}

    def _gguf_adapter(self, read: lora.Lora, needs: Made, out: Path) -> dict:
        gguf_file.write_adapter(GgufShape.read(self.base.place.folder), read, out / gguf_file.ADAPTER)
        beside = f"../{needs.folder.name}/{gguf_file.BASE}"
        return {"made_with": artefact.versions("gguf"), **self._modelfile(out, beside, f"./{gguf_file.ADAPTER}")}

    def _gguf_merged(self, read: lora.Lora, needs: Made, out: Path) -> dict:
        gguf_file.write_merged(self.dense, needs.folder / gguf_file.BASE, read, out / gguf_file.MERGED)
        return {"made_with": artefact.versions("gguf"), **self._modelfile(out, f"./{gguf_file.MERGED}", None)}

    def _modelfile(self, out: Path, model: str, adapter: str | None) -> dict:
        """Ollama's file beside the GGUF, or in the manifest why there is none: the GGUF itself is good without it."""
        try:
            text = modelfile.write(self.tokenizer, self.system_prompt, model, adapter, shape.read(self.base.place.folder).context)
        except ModelError as error:
            return {"no_modelfile": error.message}
        (out / MODELFILE).write_text(text, encoding="utf-8")
        return {}
