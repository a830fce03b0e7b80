from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from edge_sleep.data.template import prompt_text
from edge_sleep.errors import IntegrityError, ModelError
from edge_sleep.export import dense, gguf_file, gguf_words, modelfile
from edge_sleep.export import lora as loras
from edge_sleep.export.gguf_shape import GgufShape
from edge_sleep.model import base, tensors
from tests import families
from tests.export import tiny as made

gguf = pytest.importorskip("gguf")

PROMPT = "You are a companion."


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    """(folder with the base in every form, the dequantised base, its tokenizer)."""
    folder = tmp_path_factory.mktemp("gguf")
    weights, tokenizer = dense.ensure(tiny.base, tiny.device), base.load_tokenizer(tiny.base.place)
    for form in gguf_file.FORMS:
        gguf_file.write_base(weights, form, folder / f"{form}.gguf", "tiny", tokenizer, PROMPT)
    return folder, weights, tokenizer


@pytest.mark.parametrize("form, relative", [("f32", 0.0), ("f16", 2**-11), ("q8_0", 1 / 254)])
def test_what_is_read_back_is_the_base(built, form, relative):
    """F16 rounds to eleven bits; Q8_0 to 1/127 of the largest of 32, and its scale to F16."""
    folder, weights, _ = built
    back, shape = gguf_file.read_back(folder / f"{form}.gguf"), GgufShape.read(weights)
    with tensors.TensorFile(weights / dense.WEIGHTS) as file:
        assert {shape.name(name) for name in file.entries} == set(back)
        for name in file.entries:
            wanted, found = file.read(name).numpy(), back[shape.name(name)]
            largest = np.abs(wanted).max()
            assert np.abs(found - wanted).max() <= (0 if wanted.ndim == 1 else 1.1 * relative * largest), name


def test_what_llama_cpp_asks_for_is_in_it(built):
    folder, _, tokenizer = built
    fields = {name: field.contents() for name, field in gguf.GGUFReader(folder / "q8_0.gguf").fields.items()}
    assert fields["general.architecture"] == "qwen2" and fields["qwen2.block_count"] == 2
    assert (fields["qwen2.attention.head_count"], fields["qwen2.attention.head_count_kv"]) == (2, 1)
    assert fields["tokenizer.ggml.eos_token_id"] == fields["tokenizer.ggml.eot_token_id"] == tokenizer.eos_token_id
    assert fields["tokenizer.ggml.add_bos_token"] is False and fields["tokenizer.chat_template"] == tokenizer.chat_template
    tokens = fields["tokenizer.ggml.tokens"]
    assert [tokens[number] for number in range(len(tokenizer))] == tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    assert fields["tokenizer.ggml.token_type"][:3] == [gguf_words.CONTROL] * 3


@pytest.mark.parametrize("kind", made.ADAPTERS)
def test_an_adapter_multiplies_to_the_judged_change(tiny, built, tmp_path, kind):
    _, weights, _ = built
    lora = loras.read(tiny.home.adapter(tiny.adapters[kind]), "gguf")
    gguf_file.write_adapter(GgufShape.read(weights), lora, tmp_path / "adapter.gguf")
    reader, shape = gguf.GGUFReader(tmp_path / "adapter.gguf"), GgufShape.read(weights)
    said = {name: reader.fields[name].contents() for name in ("general.type", "adapter.type", "adapter.lora.alpha")}
    assert (said["general.type"], said["adapter.type"]) == ("adapter", "lora")
    back = gguf_file.read_back(tmp_path / "adapter.gguf")
    assert len(back) == 2 * len(lora.modules)
    for module in lora.modules:
        a, b = (back[f"{shape.name(f'{module}.weight')}.lora_{part}"] for part in "ab")
        # llama.cpp: alpha over the rank that it reads off B
        change = said["adapter.lora.alpha"] / b.shape[1] * (b @ a)
        wanted = lora.applied(module, torch.zeros(b.shape[0], a.shape[1])).numpy()
        np.testing.assert_allclose(change, wanted, atol=1e-5)


@pytest.mark.parametrize("form", gguf_file.FORMS)
def test_merged_is_the_base_with_its_adapted_layers_anew(tiny, built, tmp_path, form):
    folder, weights, _ = built
    lora = loras.read(tiny.home.adapter(tiny.adapters["r16 rsLoRA"]), "gguf")
    gguf_file.write_merged(weights, folder / f"{form}.gguf", lora, tmp_path / "model.gguf")
    before, after, shape = gguf_file.read_back(folder / f"{form}.gguf"), gguf_file.read_back(tmp_path / "model.gguf"), GgufShape.read(weights)
    adapted = {shape.name(f"{module}.weight"): module for module in lora.modules}
    assert all(np.array_equal(before[name], after[name]) for name in before.keys() - adapted.keys())
    with tensors.TensorFile(weights / dense.WEIGHTS) as file:
        for name, module in adapted.items():
            wanted = lora.applied(module, file.read(f"{module}.weight")).numpy()
            assert np.abs(after[name] - wanted).max() <= np.abs(wanted).max() / 200 < np.abs(after[name] - before[name]).max()


def test_llamas_rows_are_in_pairs_for_weight_bias_and_adapter():
    """What llama.cpp rotates as neighbours, transformers rotates as halves."""
    from edge_sleep.model.shape import Shape
    shape = GgufShape("llama", True, Shape(8, 1, 2, 1, 4, 8, 16, True, 32), 1e4, 1e-6)
    rows = torch.arange(8)
    assert shape.ordered("model.layers.0.self_attn.q_proj.weight", rows).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert shape.ordered("model.layers.0.self_attn.k_proj.bias", rows[:4]).tolist() == [0, 2, 1, 3]
    assert shape.ordered("model.layers.0.self_attn.v_proj", rows).tolist() == rows.tolist()
    assert shape.unordered("q_proj", shape.ordered("q_proj", rows)).tolist() == rows.tolist()
    b, a = torch.randn(8, 3), torch.randn(3, 8)
    assert torch.allclose(shape.ordered("self_attn.q_proj", b) @ a, shape.ordered("self_attn.q_proj", b @ a))


@pytest.mark.parametrize("key, value, said", [
    ("model_type", "gemma2", "architecture 'gemma2'"), ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}, "rope_type = 'yarn'"),
    ("hidden_act", "gelu", "hidden_act = 'gelu'"), ("use_sliding_window", True, "sliding_window = 4")])
def test_what_llama_cpp_would_misread_is_refused_by_name(tiny, tmp_path, key, value, said):
    config = json.loads((tiny.base.place.folder / "config.json").read_text()) | {"sliding_window": 4}
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ModelError, match=said):
        GgufShape.read(tmp_path)


def test_a_torn_file_is_named(built, tmp_path):
    folder, *_ = built
    whole = (folder / "q8_0.gguf").read_bytes()
    for torn in (whole[:3000], whole[:100], b""):
        (tmp_path / "torn.gguf").write_bytes(torn)
        with pytest.raises(IntegrityError, match="is not a whole GGUF file"):
            gguf_file.read_back(tmp_path / "torn.gguf")


def test_splits_are_known_by_what_they_are(tiny):
    from edge_sleep.seedling import MODEL
    read = [json.loads((folder / "tokenizer.json").read_bytes()) for folder in (MODEL, tiny.base.place.folder)]
    assert [gguf_words.split_of(document) for document in read] == ["qwen2", "gpt-2"]
    read[0]["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+"
    with pytest.raises(ModelError, match="BPE, split by Split and ByteLevel"):
        gguf_words.split_of(read[0])


@pytest.mark.parametrize("family", families.FAMILIES)
def test_ollamas_template_writes_what_training_saw(family):
    tokenizer = families.tokenizer(family)
    talk = [{"role": "user", "content": "Who waters the ferns?"}, {"role": "assistant", "content": "Grandfather does."},
            {"role": "user", "content": "When?"}]
    turns = modelfile.Turns.of(tokenizer)
    for conversation in (talk[:1], talk):
        assert turns.render([{"role": "system", "content": PROMPT}, *conversation]) == prompt_text(tokenizer, conversation, PROMPT)
    text = modelfile.write(tokenizer, PROMPT, "../base/base.gguf", "./adapter.gguf", 512)
    assert text.startswith("FROM ../base/base.gguf\nADAPTER ./adapter.gguf\nTEMPLATE \"\"\"{{ range ")
    assert f'SYSTEM """{PROMPT}"""' in text and "PARAMETER num_ctx 512" in text


@pytest.mark.parametrize("template", ["{% for m in messages %}{{ m.content | upper }}{% endfor %}",
                                      "{% for m in messages %}{{ '{' + '{' + m.content }}{% endfor %}"])
def test_a_template_that_ollama_has_no_words_for_is_refused(template):
    tokenizer = families.tokenizer("qwen2.5")
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match="cannot be written as Ollama's"):
        modelfile.Turns.of(tokenizer)
