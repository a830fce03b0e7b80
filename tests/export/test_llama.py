"""What llama.cpp itself says to the files; it is compiled where it is wanted, so not every machine has it."""
from __future__ import annotations

import pytest

from edge_sleep.data.template import prompt_text
from edge_sleep.device import detect
from edge_sleep.errors import IntegrityError
from edge_sleep.export import dense, gguf_file
from edge_sleep.export import lora as loras
from edge_sleep.export.gguf_shape import GgufShape
from edge_sleep.model import base, decoding
from edge_sleep.model.llama import LlamaModel
from tests.export import tiny as made
from tests.export.test_onnx import WORDS, judged_says

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    weights, tokenizer = dense.ensure(tiny.base, tiny.device), base.load_tokenizer(tiny.base.place)
    for form in ("f32", "q8_0"):
        gguf_file.write_base(weights, form, folder / f"{form}.gguf", "tiny", tokenizer, "Be.")
    return folder, weights, tokenizer


def test_the_base_is_the_base(tiny, built):
    folder, *_ = built
    logits, said = judged_says(tiny, None)
    model = LlamaModel(folder / "f32.gguf", threads=1)
    assert (model.logits(WORDS) - logits).abs().max() <= 2e-2
    assert decoding.greedy(model, WORDS, len(said)) == said


@pytest.mark.parametrize("kind", made.ADAPTERS)
def test_the_adapter_speaks_as_it_was_judged(tiny, built, tmp_path, kind):
    folder, weights, _ = built
    lora = loras.read(tiny.home.adapter(tiny.adapters[kind]), "gguf")
    gguf_file.write_adapter(GgufShape.read(weights), lora, tmp_path / "adapter.gguf")
    gguf_file.write_merged(weights, folder / "f32.gguf", lora, tmp_path / "model.gguf")
    logits, said = judged_says(tiny, kind)
    of_base = LlamaModel(folder / "f32.gguf", threads=1).logits(WORDS)
    assert (of_base - logits).abs().max() > 0.1
    for model in (LlamaModel(folder / "f32.gguf", tmp_path / "adapter.gguf", threads=1), LlamaModel(tmp_path / "model.gguf", threads=1)):
        assert (model.logits(WORDS) - logits).abs().max() <= 2e-2
        assert decoding.greedy(model, WORDS, len(said)) == said


def test_eight_bits_stay_near(tiny, built, tmp_path):
    folder, weights, _ = built
    kind = "r16 rsLoRA"
    lora = loras.read(tiny.home.adapter(tiny.adapters[kind]), "gguf")
    gguf_file.write_merged(weights, folder / "q8_0.gguf", lora, tmp_path / "model.gguf")
    logits, _ = judged_says(tiny, kind, most=1)
    assert 0 < (LlamaModel(tmp_path / "model.gguf", threads=1).logits(WORDS) - logits).abs().mean() < 0.05 * logits.std()


def test_words_are_cut_up_as_in_training(built):
    folder, _, tokenizer = built
    model = LlamaModel(folder / "q8_0.gguf", threads=1)
    text = prompt_text(tokenizer, [{"role": "user", "content": "Who waters the 12 ferns?\n\n  Don't tell — naïve ☕ me."}], "Be.")
    assert model.tokens(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_seedlings_words_are_cut_up_as_in_training(tmp_path):
    """Another split than the tiny model's: Qwen's."""
    place = base.resolve("seedling")
    tokenizer, device = base.load_tokenizer(place), detect.choose("float32")
    weights = dense.ensure(base.Base(place, "5" * 64, "float32", tmp_path), device)
    gguf_file.write_base(weights, "q8_0", tmp_path / "base.gguf", "seedling", tokenizer, "Be.")
    model = LlamaModel(tmp_path / "base.gguf", threads=1)
    for text in ("Who waters the 12 ferns?\n\n  Don't tell — naïve ☕ me.", "<|im_start|>user\nHE'LL go  home\t now<|im_end|>\n"):
        assert model.tokens(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("how", ["cut", "nonsense", "of another"])
def test_what_does_not_load_is_named(tiny, built, tmp_path, how):
    folder, *_ = built
    whole = (folder / "q8_0.gguf").read_bytes()
    (tmp_path / "bad.gguf").write_bytes(whole[:4000] if how == "cut" else b"x" * 4000)
    with pytest.raises(IntegrityError, match="llama.cpp does not load"):
        if how == "of another":
            LlamaModel(folder / "q8_0.gguf", tmp_path / "bad.gguf", threads=1)
        else:
            LlamaModel(tmp_path / "bad.gguf")


def test_adapters_are_swapped_without_loading_the_base(tiny, built, tmp_path):
    folder, weights, _ = built
    model = LlamaModel(folder / "f32.gguf", threads=1)
    of_base, files = model.logits(WORDS), []
    for kind in made.ADAPTERS:
        files.append(tmp_path / f"{kind[:3]}.gguf")
        gguf_file.write_adapter(GgufShape.read(weights), loras.read(tiny.home.adapter(tiny.adapters[kind]), "gguf"), files[-1])
    seen = []
    for file in (*files, *reversed(files)):
        model.use(file)
        seen.append(model.logits(WORDS))
    assert all((one == other).all() for one, other in zip(seen, reversed(seen), strict=True))
    assert len({value.sum().item() for value in seen}) == 3
    (tmp_path / "torn.gguf").write_bytes(files[0].read_bytes()[:-5000])
    with pytest.raises(IntegrityError, match="llama.cpp does not load torn.gguf beside f32.gguf"):
        model.use(tmp_path / "torn.gguf")
    assert model.adapter == files[0]
    model.use(None)
    assert (model.logits(WORDS) == of_base).all()
