"""The base: found, fingerprinted, declared once per home, loaded frozen in 4-bit NF4."""
from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.device.detect import Device
from edge_sleep.errors import IntegrityError, ModelError, UsageError
from edge_sleep.model import shape, tensors
from edge_sleep.seedling import MODEL as SEEDLING
from edge_sleep.system import base_record
from edge_sleep.system.files import canonical_json, sha256_file, write_json
from edge_sleep.system.home import Home
from edge_sleep.system.imports import looking

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUANTISATION = "nf4-double-quant"
INT8_EMBEDDING = f"{QUANTISATION}+int8-embedding"


@dataclass(frozen=True)
class BaseSource:
    """Where a base lies on this disk. `source` is what the user called it."""

    source: str
    folder: Path

    @property
    def defaults(self) -> Path | None:
        """Settings that travel with this base, where it carries any."""
        file = self.folder / "edge_sleep" / "defaults.yaml"
        return file if file.is_file() else None

    @property
    def weight_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))


@dataclass(frozen=True)
class Base:
    """A declared base: its place and the sha256 that identifies its weights."""

    place: BaseSource
    sha256: str
    compute_dtype: str
    cache: Path | None = None              # folder for what can be made again from the base
    quantisation: str = QUANTISATION

    @property
    def int8_embedding(self) -> bool:
        return self.quantisation == INT8_EMBEDDING

    def entry(self) -> dict:
        return {"source": self.place.source, "sha256": self.sha256}


def resolve(model: str, allow_download: bool = False) -> BaseSource:
    """Find a base: `seedling`, a folder, or a hub id that is already on this disk.

    Raises ModelError where there is nothing loadable; the hub is asked only with allow_download.
    """
    if model == "seedling":
        return _checked(BaseSource("seedling", SEEDLING))
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _checked(BaseSource(str(folder.resolve()), folder.resolve()))
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ModelError(f"no model folder at {model}", "name a folder with config.json, tokenizer.json and "
                         "*.safetensors, a hub id such as Qwen/Qwen2.5-0.5B-Instruct, or `seedling`")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    try:
        found = snapshot_download(model, local_files_only=not allow_download,
                                  allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "edge_sleep/*"])
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        do = ("check the network, or name a local folder" if allow_download else
              "`--set companion.allow_download=true` to let the hub be asked, or name a local folder")
        raise ModelError(f"model {model} is not on this disk: {type(error).__name__}", do) from error
    return _checked(BaseSource(model, Path(found)))


def _checked(place: BaseSource) -> BaseSource:
    missing = [name for name in ("config.json", "tokenizer.json") if not (place.folder / name).is_file()]
    if not place.weight_files:
        missing.append("*.safetensors")
    if missing:
        pickled = " (weights in .bin are pickles and are not read)" if list(place.folder.glob("*.bin")) else ""
        raise ModelError(f"model folder {place.folder} lacks {', '.join(missing)}{pickled}",
                         "save the model with `save_pretrained` in safetensors, tokenizer included")
    files = [place.folder / "config.json", place.folder / "tokenizer.json", *place.weight_files]
    if closed := [file.name for file in files if not os.access(file, os.R_OK)]:
        # What saves weights may close them to all but their owner; in a container that is another user.
        raise ModelError(f"the user {os.geteuid()} may not read {', '.join(closed)} in {place.folder}",
                         f"as the owner: chmod -R a+rX {place.folder}")
    return place


def fingerprint(place: BaseSource) -> tuple[str, dict[str, str]]:
    """sha256 over the weight files and config.json; and the hash of each file."""
    files = {file.name: sha256_file(file) for file in [place.folder / "config.json", *place.weight_files]}
    return hashlib.sha256(canonical_json(files)).hexdigest(), files


def declare(home: Home, place: BaseSource, device: Device, created: str, quantisation: str = QUANTISATION) -> Base:
    """Bind the home to its base on the first night, in this quantisation; afterwards check that it is still the same one.

    Raises UsageError (a new base is a new home), IntegrityError (the same folder, other bytes), or ModelError where a
    home could never have a night with it: no home is bound to such a base.
    """
    sha256, files = fingerprint(place)
    if home.base.is_file():
        known = base_record.read(home)
        if known["sha256"] != sha256:
            changed = sorted(name for name in files if known["files"].get(name) != files[name])
            if known["source"] == place.source:
                raise IntegrityError(f"the base {place.source} changed since this home began: {', '.join(changed)}",
                                     "put the original weights back; adapters fit only the base they grew on")
            raise UsageError(f"this home belongs to the base {known['source']} ({known['sha256'][:12]}), "
                             f"not to {place.source} ({sha256[:12]})", "a new base is a new home: choose another --home")
        return Base(place, sha256, known["compute_dtype"], home.cache, known.get("quantisation", QUANTISATION))
    suitable(place)
    write_json(home.base, {"format": 1, "source": place.source, "sha256": sha256, "files": files,
                           "quantisation": quantisation, "compute_dtype": device.compute_dtype, "created": created})
    return Base(place, sha256, device.compute_dtype, home.cache, quantisation)


def settled(home: Home, device: Device) -> Device:
    """The device with the arithmetic this home's base was declared with, where it has been."""
    if not home.base.is_file():
        return device
    return replace(device, compute_dtype=base_record.read(home)["compute_dtype"])


def suitable(place: BaseSource) -> None:
    """What can be known without its weights: a causal decoder, a chat template, a tokenizer that its embedding has room for."""
    _matching(place, len(load_tokenizer(place)), shape.read(place.folder).vocabulary)


def _matching(place: BaseSource, tokens: int, vocabulary: int) -> None:
    if tokens > vocabulary:
        raise ModelError(f"the tokenizer of {place.source} has {tokens} tokens, its embedding {vocabulary}",
                         "use the tokenizer that belongs to these weights")


@dataclass
class LoadedBase:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    load_seconds: float
    how: str                               # cache, quantised, or transformers with the reason


def load_tokenizer(place: BaseSource) -> PreTrainedTokenizerBase:
    """The base's tokenizer. Raises ModelError without a chat template: training needs the one serving uses."""
    from transformers import AutoTokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        _refuse_its_code(place, error)
        raise ModelError(f"the tokenizer of {place.source} does not load: {error}") from error
    if not tokenizer.chat_template:
        raise ModelError(f"{place.source} has no chat template", "choose an instruct or chat model, or add "
                         "a `chat_template` to its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load(base: Base, device: Device, between: Callable[[], object] = lambda: None) -> LoadedBase:
    """Load the base in NF4 with double quantisation, every parameter frozen, in evaluation mode.

    between: called from import to import and from weight to weight; it may raise to give way, and nothing of the model is left
    then.
    """
    with looking(between):
        return _load(base, device, between)


def _load(base: Base, device: Device, between: Callable[[], object]) -> LoadedBase:
    began = time.monotonic()
    import torch
    from transformers.utils import logging

    from edge_sleep.model import embedding, four_bit, lean

    _import_bitsandbytes()
    logging.disable_progress_bar()        # a night has its own progress; these bars would tear it
    dtype = getattr(torch, base.compute_dtype)
    tokenizer = load_tokenizer(base.place)
    try:
        try:
            model, how = lean.load(base.place.folder, base.place.weight_files, dtype, device.torch_name, _cached(base, device),
                                   base.int8_embedding, between)
        except lean.NotSuited as why:
            if four_bit.quantised_on(device.torch_name) != device.torch_name:
                raise ModelError(f"{base.place.source} needs bitsandbytes' own code ({why}), which does not run on "
                                 f"{device.torch_name}",
                                 "install a bitsandbytes that was built for this GPU, or choose another base") from why
            model, how = _with_transformers(base, device, dtype), f"transformers: {why}"
            if base.int8_embedding:
                embedding.compress(model, dtype)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        _refuse_its_code(base.place, error)
        raise ModelError(f"{base.place.source} does not load in 4-bit: {error}",
                         "`edge-sleep doctor` tries bitsandbytes on this machine") from error
    table: Any = model.get_input_embeddings()
    _matching(base.place, len(tokenizer), table.num_embeddings)
    if (name := _not_finite(model)) is not None:
        raise ModelError(f"{base.place.source}: {name} holds values that are not finite", "copy or download the model again")
    model.requires_grad_(False)
    _keep_one_form(model)
    if (by := four_bit.run_without_library(model, device.torch_name, base.compute_dtype)) is not None:
        how = f"{how}; without bitsandbytes' code: {by}"
    _one_head_for_all(model)
    return LoadedBase(model, tokenizer, time.monotonic() - began, how)


def _refuse_its_code(place: BaseSource, error: Exception) -> None:
    if "trust_remote_code" in str(error):          # the word that transformers would have us say
        raise ModelError(f"{place.source} brings code of its own, which is never run",
                         "choose a base that transformers knows by itself") from error


def describe(model: Any) -> dict[str, Any]:
    """What was really loaded, read from the model itself: where it lies, what it computes in, how many layers are 4-bit."""
    import torch

    lies = sorted({str(value.device) for value in model.parameters()})
    on_gpu = any(place.startswith("cuda") for place in lies)
    layers = [module for module in model.modules() if getattr(getattr(module, "weight", None), "quant_state", None) is not None]
    computes = sorted({str(layer.compute_dtype).removeprefix("torch.") for layer in layers})
    return {"device": ", ".join(lies), "gpu": torch.cuda.get_device_name() if on_gpu else None, "dtype": ", ".join(computes),
            "layers_4bit": len(layers)}


def _not_finite(model: Any) -> str | None:
    """The first parameter, 4-bit ones aside, with a NaN or an infinity."""
    for name, value in model.named_parameters():
        if value.is_floating_point() and value.numel() and not tensors.finite(value.detach()):
            return name
    return None


def _import_bitsandbytes() -> None:
    """Import it without the compiled forms of kernels that it has in C++ or CUDA anyway.

    They are made by torch.compile, which brings the compiler's front ends with it (43 MiB of a night, measured), and would
    have a night wait for a compiler where they are called.
    """
    import torch

    compile_of_torch = torch.compile

    def as_it_is(function: Any = None, **_: Any) -> Any:
        return function if function is not None else as_it_is

    torch.compile = as_it_is  # type: ignore[assignment]
    try:
        import bitsandbytes  # noqa: F401
    finally:
        torch.compile = compile_of_torch  # type: ignore[assignment]


def _cached(base: Base, device: Device) -> Path | None:
    """Where this base's 4-bit weights are kept: as computed by this kind of device, for this arithmetic."""
    name = f"base-{base.sha256[:16]}-{base.quantisation}-{base.compute_dtype}-{device.torch_name.partition(':')[0]}.safetensors"
    return base.cache / name if base.cache is not None else None


def _with_transformers(base: Base, device: Device, dtype: Any) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantisation = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                      bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    return AutoModelForCausalLM.from_pretrained(
        base.place.folder, quantization_config=quantisation, dtype=dtype,
        device_map={"": device.torch_name}, local_files_only=True, trust_remote_code=False)


def _keep_one_form(model: Any) -> None:
    """Hold bitsandbytes off its second weight layout, for every 4-bit layer of `model`.

    On a CPU with AVX512-BF16 an eval-mode forward repacks the weights for good, with scales rounded to bfloat16: such
    a model cannot be trained any more, and it is another model than the one that was judged on any other machine.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False


def _one_head_for_all(model: Any) -> None:
    """Hand the head its input in one piece: on a slice of every row torch.matmul copies the weights once for each row.

    The last position of a batch of prompts is such a slice: 32 questions to the 0.5B shape would take 8.5 GiB.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))


def context_length(model: Any) -> int | None:
    """Longest sequence the base was made for, where its config says so."""
    return getattr(model.config, "max_position_embeddings", None)


def ends(place: BaseSource, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer, as the base's own files say."""
    from transformers import GenerationConfig

    try:
        named = GenerationConfig.from_pretrained(place.folder, local_files_only=True).eos_token_id
    except OSError:                        # a base need not have one
        named = None
    return ends_of(named, tokenizer)


def ends_of(named: int | list[int] | None, tokenizer: Any) -> frozenset[int]:
    """The end tokens that a generation configuration names, and the tokenizer's."""
    return frozenset([*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]) - {None}
