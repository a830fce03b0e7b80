from __future__ import annotations

import json

import pytest

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError, ModelError
from edge_sleep.export import lora
from edge_sleep.model import adapter

PLAIN = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "use_dora": False, "modules_to_save": None}


@pytest.mark.parametrize("key, value", [
    ("use_dora", True), ("bias", "all"), ("bias", "lora_only"), ("modules_to_save", ["lm_head"]), ("rank_pattern", {"q_proj": 8}),
    ("alpha_pattern", {"q_proj": 8}), ("fan_in_fan_out", True), ("lora_bias", True), ("layer_replication", [[0, 1]]),
    ("trainable_token_indices", [1]), ("target_parameters", ["experts"]), ("use_qalora", True), ("init_lora_weights", "pissa"),
    ("alora_invocation_tokens", [1])])
def test_what_a_format_cannot_carry_is_refused_by_name(key, value):
    lora.refuse(PLAIN, "gguf")
    with pytest.raises(ModelError, match=f"gguf cannot carry this adapter: {key} = "):
        lora.refuse(PLAIN | {key: value}, "gguf")
    lora.refuse(PLAIN | {key: value}, "gguf", carries={key})


def test_another_kind_of_adapter_is_refused_by_name():
    with pytest.raises(ModelError, match="'IA3'"):
        lora.refuse(PLAIN | {"peft_type": "IA3"}, "onnx")


def test_another_base_is_named(tiny):
    with pytest.raises(IntegrityError, match="grew on another base .* than this home's \\(aaaaaaaaaaaa\\)"):
        lora.read(tiny.home.adapter(tiny.adapters["r4 q,v"]), "gguf", base_sha256="a" * 64)


@pytest.mark.parametrize("how, said", [
    ("flip", "does not match its sha256"), ("cut", "has .* bytes, not"), ("gone", "adapter_model.safetensors is missing"),
    ("no manifest", "has no manifest.json"), ("no config", "adapter_config.json is missing")])
def test_a_damaged_adapter_is_named(own_tiny, how, said):
    folder = own_tiny.home.adapter(own_tiny.adapters["r4 q,v"])
    file = folder / adapter.WEIGHTS
    whole = file.read_bytes()
    if how == "flip":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 64]))
    elif how == "cut":
        file.write_bytes(whole[:-20])
    else:
        {"gone": file, "no manifest": folder / manifest.NAME, "no config": folder / adapter.CONFIG}[how].unlink()
    with pytest.raises(IntegrityError, match=said):
        lora.read(folder, "gguf")


def test_a_rank_that_its_settings_do_not_name_is_refused(own_tiny):
    folder = own_tiny.home.adapter(own_tiny.adapters["r4 q,v"])
    file = folder / adapter.CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 5}))
    document = manifest.read(folder)
    (folder / manifest.NAME).write_text(json.dumps(document | {"files": manifest.listed(folder)}))
    with pytest.raises(IntegrityError, match="matrices of rank \\[4\\], its adapter_config.json says 5"):
        lora.read(folder, "gguf")


def test_targets_that_the_base_has_not_are_named(tiny):
    found = lora.read(tiny.home.adapter(tiny.adapters["r4 q,v"]), "onnx")
    shapes = {f"{name}.weight": (module.b.shape[0], module.a.shape[1]) for name, module in found.modules.items()}
    lora.fits(found, shapes, "onnx")
    first = next(iter(shapes))
    with pytest.raises(ModelError, match=f"targets {first.removesuffix('.weight')}, which this base has not"):
        lora.fits(found, {name: shape for name, shape in shapes.items() if name != first}, "onnx")
    with pytest.raises(ModelError, match="the base's is \\[7, 7\\]"):
        lora.fits(found, shapes | {first: (7, 7)}, "onnx")


def test_a_tensor_that_is_not_lora_of_a_linear_layer_is_named():
    with pytest.raises(ModelError, match="lora_embedding_A"):
        lora._modules({"base_model.model.model.embed_tokens.lora_embedding_A": None}, "gguf", "x")
