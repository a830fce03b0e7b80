"""What cannot be trained is said before any training: one clear error, its exit code, and nothing of the home is changed."""
from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_sleep.errors import EdgeSleepError, Exit
from edge_sleep.system.events import read_events
from edge_sleep.system.files import sha256_file
from tests import micro

pytestmark = pytest.mark.night
MORE = [("What colour is the gate?", "The gate was painted green in the spring."),
        ("Who mends the nets?", "The nets are mended by the two brothers from the pier."),
        ("Where do the bees live?", "The bees live in three white hives behind the barn."),
        ("When does the ferry leave?", "The ferry leaves at seven, before the fog lifts.")]


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def without_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((model / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (model / "tokenizer_config.json").write_text(json.dumps(settings))


def encoder(model: Path) -> None:
    edit(model / "config.json", architectures=["BertForMaskedLM"], model_type="bert")


def encoder_decoder(model: Path) -> None:
    edit(model / "config.json", architectures=["T5ForConditionalGeneration"], model_type="t5", is_encoder_decoder=True)


def gpt2(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 64,
                                                   "n_layer": 2, "n_head": 2, "vocab_size": 512, "n_positions": 512}))


def vocabulary(model: Path) -> None:
    edit(model / "config.json", vocab_size=200)


def poisoned(name: str, value: float):
    def change(model: Path) -> None:
        tensors = load_file(model / "model.safetensors")
        tensors[name].view(-1)[7] = value
        save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    return change


def short_context(model: Path) -> None:
    edit(model / "config.json", max_position_embeddings=16)


PROJECTION = "model.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize("spoil, code, said", [
    (without_template, Exit.MODEL, "no chat template"),
    (encoder, Exit.MODEL, "BertForMaskedLM: it does not continue a conversation"),
    (encoder_decoder, Exit.MODEL, "T5ForConditionalGeneration"),
    (gpt2, Exit.MODEL, r"can be planned \(gpt2\)"),
    (vocabulary, Exit.MODEL, "tokens, its embedding 200"),
    (poisoned("model.embed_tokens.weight", float("nan")), Exit.MODEL, "embed_tokens.weight holds values that are not finite"),
    (poisoned(PROJECTION, float("nan")), Exit.MODEL, f"{PROJECTION} holds values that are not finite"),
    (poisoned(PROJECTION, float("inf")), Exit.MODEL, f"{PROJECTION} holds values that are not finite"),
    (short_context, Exit.DOES_NOT_FIT, r"none of \d+ examples fits into 16 tokens"),
], ids=["no_template", "encoder", "encoder_decoder", "conv1d", "vocabulary", "nan_embedding", "nan_layer", "infinite_layer",
        "context"])
def test_a_base_that_cannot_be_trained(spoil, code, said, micro_home, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(micro_home.model, model)
    spoil(model)
    with pytest.raises(EdgeSleepError, match=said) as caught:
        micro.night(tmp_path / "fresh", model, micro_home.sessions, "replay.share=0")
    assert caught.value.exit_code == code and caught.value.do
    assert not steps(tmp_path / "fresh")
    assert not (tmp_path / "fresh" / "current.json").exists()
    if "finite" not in said and code is Exit.MODEL:
        assert not (tmp_path / "fresh" / "base.json").exists(), "no home is bound to a base that it can never sleep with"


def steps(home: Path) -> list[dict]:
    return [event for file in home.glob("nights/*/events.jsonl") for event in read_events(file) if event["event"] == "step"]


def fingerprint(home: Path) -> dict[str, str]:
    """What a session loads: the pointer, the adapters, the base's record."""
    files = [home / "current.json", home / "base.json", *sorted(home.glob("adapters/**/*"))]
    return {str(file.relative_to(home)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def forge(home: Path, adapter: Path) -> None:
    """Let every hash agree with what lies there now: only the content itself can tell."""
    file = adapter / "adapter_model.safetensors"
    files = json.loads((adapter / "manifest.json").read_text())["files"]
    edit(adapter / "manifest.json", files=files | {file.name: {"sha256": sha256_file(file), "bytes": file.stat().st_size}})
    pointer = json.loads((home / "current.json").read_text())
    pointer["adapter"]["sha256"] = sha256_file(file)
    (home / "current.json").write_text(json.dumps(pointer))


def other_base(home: Path) -> None:
    [adapter] = (home / "adapters").iterdir()
    edit(adapter / "manifest.json", base={"source": "another", "sha256": "f" * 64})
    forge(home, adapter)


def other_tensors(change):
    def spoil(home: Path) -> None:
        [adapter] = (home / "adapters").iterdir()
        file = adapter / "adapter_model.safetensors"
        save_file({name: change(name, value) for name, value in load_file(file).items()}, file, metadata={"format": "pt"})
        forge(home, adapter)
    return spoil


def wider(name: str, value: torch.Tensor) -> torch.Tensor:
    """An adapter of a model with wider layers, or with rows for other words."""
    return torch.cat([value, value], dim=-1) if "lora_A" in name else value


def with_nan(name: str, value: torch.Tensor) -> torch.Tensor:
    return torch.full_like(value, float("nan")) if "lora_B" in name else value


@pytest.mark.parametrize("spoil, said", [
    (other_base, "grew on another base"), (other_tensors(wider), "does not fit this base: size mismatch"),
    (other_tensors(with_nan), "not finite")], ids=["another_base", "another_vocabulary_or_width", "nan"])
def test_an_incumbent_that_does_not_belong_here(spoil, said, micro_home, tmp_path):
    spoil(micro_home.root)
    before, trained = fingerprint(micro_home.root), len(steps(micro_home.root))
    micro.write_talk(tmp_path / "talk", MORE, number=2)
    with pytest.raises(EdgeSleepError, match=said) as caught:
        micro.night(micro_home.root, micro_home.model, tmp_path / "talk")
    assert caught.value.exit_code == Exit.INTEGRITY and "rollback" in caught.value.do
    assert fingerprint(micro_home.root) == before and len(steps(micro_home.root)) == trained


@pytest.mark.parametrize("sets, code, said", [
    (("lora.rank=0",), Exit.USAGE, r"lora\.rank"),
    (("lora.targets=q_proj,nonesuch",), Exit.MODEL, "it has no nonesuch"),
    (("lora.targets=''",), Exit.MODEL, "names no module")], ids=["rank_0", "no_such_target", "no_target"])
def test_settings_that_no_model_can_have(sets, code, said, micro_home, tmp_path):
    with pytest.raises(EdgeSleepError, match=said) as caught:
        micro.night(tmp_path / "fresh", micro_home.model, micro_home.sessions, *sets)
    assert caught.value.exit_code == code and caught.value.do
    assert not steps(tmp_path / "fresh") and not (tmp_path / "fresh" / "current.json").exists()


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_example_whose_weight_is_no_number(weight, micro_home, tmp_path, monkeypatch):
    from dataclasses import replace

    from edge_sleep.data import tonight

    compose = tonight.compose
    monkeypatch.setattr(tonight, "compose", lambda *given, **named: [
        replace(example, weight=weight) if number == 1 else example for number, example in enumerate(compose(*given, **named))])
    before, trained = fingerprint(micro_home.root), len(steps(micro_home.root))
    micro.write_talk(tmp_path / "talk", MORE, number=2)
    with pytest.raises(EdgeSleepError, match="weight that teaches nothing") as caught:
        micro.night(micro_home.root, micro_home.model, tmp_path / "talk")
    assert caught.value.exit_code == Exit.MODEL
    assert fingerprint(micro_home.root) == before and len(steps(micro_home.root)) == trained
