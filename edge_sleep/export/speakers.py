"""An artefact made to speak: logits from the runtime that will serve it, so that it is compared as it will be."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from edge_sleep.export import artefact, gguf_file, gguf_shape, merged
from edge_sleep.export.artefact import Made
from edge_sleep.export.passages import LONGEST
from edge_sleep.export.workshop import GGUF_MERGED, Workshop
from edge_sleep.model import adapter as peft
from edge_sleep.model import base as base_model
from edge_sleep.model import llama, ort

_CONTEXT = 2 * LONGEST                     # llama.cpp keeps the logits of all of it
Speak = Callable[[Sequence[int]], Any]     # token ids [T] -> logits [T, V], float32 on the CPU


@contextmanager
def of(shop: Workshop, made: Made) -> Iterator[tuple[Speak, str]]:
    """(what gives its logits, the runtime's name and version) while the artefact is loaded."""
    kind, adapted = made.document["kind"], made.document["adapter"] is not None
    if kind == "adapter":
        loaded: Any = base_model.load(shop.base, shop.device).model
        yield of_model(peft.attach_saved(loaded, made.folder, trainable=False).eval()), _named("peft")
    elif kind == "merged":
        yield of_model(merged.load(made.folder, shop.device)), _named("transformers")
    elif kind == "onnx":
        needs = made.document["needs"]
        model = ort.OrtModel(artefact.place(shop.home, needs["kind"], needs["id"]) if adapted else made.folder)
        if adapted:
            model.use(made.folder / ort.ADAPTER)
        yield model.logits, _named("onnxruntime")
    elif find_spec("llama_cpp") is None:
        yield of_model(_read_back(shop, made)), f"read back by {_named('gguf')}, not run by llama.cpp"
    else:
        speaker = _llama(shop, made, adapted)
        try:
            yield speaker.logits, _named("llama-cpp-python")
        finally:
            speaker.close()


def of_model(model: Any) -> Speak:
    """A transformers model's."""
    def speak(ids: Sequence[int]) -> Any:
        import torch

        with torch.inference_mode():
            return model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits[0].float().cpu()

    return speak


def _llama(shop: Workshop, made: Made, adapted: bool) -> llama.LlamaModel:
    if made.document["kind"] == GGUF_MERGED:
        return llama.LlamaModel(made.folder / gguf_file.MERGED, context=_CONTEXT)
    needs = made.document["needs"]
    folder = artefact.place(shop.home, needs["kind"], needs["id"]) if adapted else made.folder
    return llama.LlamaModel(folder / gguf_file.BASE, made.folder / gguf_file.ADAPTER if adapted else None, context=_CONTEXT)


def _read_back(shop: Workshop, made: Made) -> Any:
    """The weights of the GGUF files in a float32 model of transformers: what is in them, whoever computes with it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = gguf_shape.GgufShape.read(shop.base.place.folder)
    kind, needs = made.document["kind"], made.document["needs"]
    folder = artefact.place(shop.home, needs["kind"], needs["id"]) if needs else made.folder
    values = gguf_file.read_back(folder / (gguf_file.MERGED if kind == GGUF_MERGED else gguf_file.BASE))
    changes, alpha = {}, 0.0
    if needs:
        changes = gguf_file.read_back(made.folder / gguf_file.ADAPTER)
        alpha = gguf_file.alpha_of(made.folder / gguf_file.ADAPTER)
    config = AutoConfig.from_pretrained(shop.base.place.folder, local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            stored = shape.name(name)
            value = torch.from_numpy(values[stored].copy())
            if (b := changes.get(f"{stored}.lora_b")) is not None:
                value += torch.from_numpy(alpha / b.shape[1] * (b @ changes[f"{stored}.lora_a"]))
            parameter.copy_(shape.unordered(name, value))
    return model.eval()


def _named(package: str) -> str:
    return f"{package} {artefact.versions(package)[package]}"
