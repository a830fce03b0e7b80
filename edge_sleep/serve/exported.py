"""Runtimes on an artefact that `edge-sleep export` made of the current adapter and compared with the model that was judged.

Before one answers, its files hash to their manifest and its canary prompt speaks as the judged model did: a runtime that silently
leaves the adapter out does not pass. What it cannot speak as, it says (`NotInThisForm`), and the session takes the judged form.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from edge_sleep.checkpoint import manifest
from edge_sleep.device.detect import Device
from edge_sleep.device.environment import cores
from edge_sleep.device.shortage import give_back
from edge_sleep.errors import EdgeSleepError
from edge_sleep.export import artefact, gguf_file, merged
from edge_sleep.export.artefact import Made
from edge_sleep.export.fidelity import Canary
from edge_sleep.model import base as base_model
from edge_sleep.model import decoding, llama, ort, shape
from edge_sleep.model.base import Base
from edge_sleep.model.transformers_reader import TransformersReader
from edge_sleep.serve.runtime import NotInThisForm, Options, Worn
from edge_sleep.system.files import touched
from edge_sleep.system.home import Home


class Exported(ABC):
    """See `serve/runtime.py`; one subclass for each kind of export."""

    name: ClassVar[str]                    # the kind, as `export --to` and `current.json` call it
    package: ClassVar[str]                 # what must be installed
    weights: ClassVar[str]                 # the file that the adapter is in
    longest: ClassVar[int | None] = None   # tokens of a conversation, where the runtime sets room aside for them

    def __init__(self, home: Home, base: Base, device: Device):
        self.home, self.base, self.at = home, base, device
        self.tokenizer: Any = base_model.load_tokenizer(base.place)
        self.ends = base_model.ends(base.place, self.tokenizer)
        limits = [limit for limit in (shape.read(base.place.folder).context, self.longest) if limit is not None]
        self.context_length = min(limits, default=None)
        self._made: Made | None = None
        self._loaded_as: tuple = ()

    @property
    def active(self) -> str | None:
        return self._made.document["adapter"]["id"] if self._made else None

    @property
    def artefact_sha256(self) -> str | None:
        return self._made.document["files"][self.weights]["sha256"] if self._made else None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(_files(self.home, self._made)) if self._made else ()

    def changed(self) -> list[str]:
        if self._made is None or tuple(map(touched, self.files)) == self._loaded_as:
            return []
        return artefact.problems(self.home, self._made.folder, self.base.sha256)

    @property
    def device(self) -> str:
        return "cpu"

    def wear(self, adapter: Worn | None) -> None:
        if adapter is None:
            raise NotInThisForm(f"the base itself is current, and {self.name} holds adapters only")
        made = adapter.exports.get(self.name)
        if made is None:
            raise NotInThisForm(f"adapter {adapter.id} has no {self.name} export that current.json names",
                                f"`edge-sleep export --to {self.name}`")
        if self._made is not None and made.document == self._made.document:
            return
        self._made = None
        before = tuple(map(touched, _files(self.home, made)))
        if wrong := artefact.problems(self.home, made.folder, self.base.sha256):
            raise NotInThisForm(wrong[0], "`edge-sleep export` makes it again")
        try:
            reader = self.load(made)
            canary = Canary.read(made.document["canary"])
            reader.restart()
            off = canary.wrong(reader.feed(canary.ids), adapted=True)
        except EdgeSleepError as error:
            raise NotInThisForm(error.message, error.do) from error
        if tuple(map(touched, _files(self.home, made))) != before:
            off = "its files changed while they were loaded"
        if off is not None:
            raise NotInThisForm(f"export {made.name}: {off}")
        self._made, self._loaded_as = made, before

    @abstractmethod
    def load(self, made: Made) -> decoding.Reader:
        """Its live model, with what `made` holds in it. Raises EdgeSleepError where it does not load."""

    @property
    @abstractmethod
    def reader(self) -> decoding.Reader:
        """The live model."""

    def generate(self, ids: list[int], options: Options, on_token: Callable[[int], bool]) -> None:
        pick: decoding.Pick = decoding.likeliest
        if options.temperature > 0:
            pick = decoding.drawn(options.temperature, options.top_p, options.seed)
        for token in decoding.continuation(self.reader, ids, options.max_new_tokens, pick):
            if on_token(token) or token in self.ends:
                return

    def close(self) -> None:
        self._made = None
        self.free()
        give_back()

    @abstractmethod
    def free(self) -> None:
        """Let go of the live model."""

    @classmethod
    def version(cls) -> str | None:
        """Of the package that runs it; None where that is not installed."""
        try:
            return f"{cls.package} {metadata.version(cls.package)}"
        except metadata.PackageNotFoundError:
            return None

    def _below(self, made: Made) -> Path:
        return artefact.place(self.home, made.document["needs"]["kind"], made.document["needs"]["id"])


class Onnx(Exported):
    """The base in ONNX Runtime stays; a new morning is one small file."""

    name, package, weights = "onnx", "onnxruntime", ort.ADAPTER
    _model: ort.OrtModel | None = None
    _on: Any = None

    def load(self, made: Made) -> ort.OrtModel:
        below = self._below(made)
        if self._model is None or self._on != below:
            self._model, self._on = ort.OrtModel(below, cores()), below
        self._model.use(made.folder / self.weights)
        return self._model

    @property
    def reader(self) -> ort.OrtModel:
        assert self._model is not None
        return self._model

    def free(self) -> None:
        self._model = None


class Gguf(Exported):
    """The base in llama.cpp stays; a new morning is one small file."""

    name, package, weights, longest = "gguf", "llama-cpp-python", gguf_file.ADAPTER, 4096
    _model: llama.LlamaModel | None = None
    _on: Any = None

    def load(self, made: Made) -> llama.LlamaModel:
        file, beside = self.parts(made)
        if self._model is None or self._on != file:
            self.free()
            self._model, self._on = llama.LlamaModel(file, context=self.context_length or 0, threads=cores(), every=False), file
        self._model.use(beside)
        return self._model

    def parts(self, made: Made) -> tuple[Path, Path | None]:
        """(the model, the adapter beside it or None)."""
        return self._below(made) / gguf_file.BASE, made.folder / self.weights

    @property
    def reader(self) -> llama.LlamaModel:
        assert self._model is not None
        return self._model

    def free(self) -> None:
        held, self._model = self._model, None
        if held is not None:
            held.close()


class GgufMerged(Gguf):
    """One file in llama.cpp with the adapter in it."""

    name, weights = "gguf-merged", gguf_file.MERGED

    def parts(self, made: Made) -> tuple[Path, Path | None]:
        return made.folder / self.weights, None


class Merged(Exported):
    """The merged folder in transformers; each morning loads it anew."""

    name, package, weights = "merged", "transformers", merged.WEIGHTS
    _model: TransformersReader | None = None

    def load(self, made: Made) -> TransformersReader:
        self._model = None
        self._model = TransformersReader(merged.load(made.folder, self.at))
        return self._model

    @property
    def reader(self) -> TransformersReader:
        assert self._model is not None
        return self._model

    @property
    def device(self) -> str:
        return self.at.torch_name

    def free(self) -> None:
        self._model = None


def _files(home: Home, made: Made) -> Iterator[Path]:
    """Its files and those of the base export that it works on, manifests included."""
    needs = made.document["needs"]
    for folder, names in ((made.folder, made.document["files"]),
                          *([(artefact.place(home, needs["kind"], needs["id"]), needs["files"])] if needs else [])):
        yield from (folder / name for name in (manifest.NAME, *names))


KINDS: dict[str, type[Exported]] = {kind.name: kind for kind in (Onnx, Gguf, GgufMerged, Merged)}
