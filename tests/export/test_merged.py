from __future__ import annotations

import pytest
import torch

from edge_sleep.errors import ModelError
from edge_sleep.export import dense, merged
from edge_sleep.export import lora as loras
from edge_sleep.model import tensors
from tests.export import tiny as made

WORDS = torch.arange(3, 43)[None]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=WORDS, use_cache=False).logits[0].float()


def loaded(folder):
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)


def test_the_dequantised_base_is_the_judged_one(tiny):
    folder = dense.ensure(tiny.base, tiny.device)
    assert torch.equal(logits(loaded(folder)), logits(tiny.judged(None)))


@pytest.mark.parametrize("quantisation", ["nf4-double-quant", "nf4-double-quant+int8-embedding"])
@pytest.mark.parametrize("tied", [True, False])
def test_embedding_and_head_are_those_that_were_judged(tmp_path, tied, quantisation):
    from edge_sleep.device import detect
    from edge_sleep.model import base
    place = base.resolve(str(made.make_model(tmp_path / "model", tied=tied)))
    declared = base.Base(place, base.fingerprint(place)[0], "float32", tmp_path / "cache", quantisation)
    device = detect.choose("float32")
    folder = dense.ensure(declared, device)
    assert (logits(loaded(folder)) - logits(base.load(declared, device).model)).abs().max() < 1e-5
    with tensors.TensorFile(folder / dense.WEIGHTS) as file:
        assert ("lm_head.weight" in file.entries) is not tied


@pytest.mark.parametrize("kind", made.ADAPTERS)
def test_merging_is_the_judged_model(tiny, tmp_path, kind):
    adapter_id = tiny.adapters[kind]
    lora = loras.read(tiny.home.adapter(adapter_id), "merged", merged.CARRIES, tiny.base.sha256)
    merged.write(dense.ensure(tiny.base, tiny.device), lora, tmp_path)
    judged, base = logits(tiny.judged(adapter_id)), logits(tiny.judged(None))
    assert (judged - base).abs().max() > 0.1
    assert (logits(loaded(tmp_path)) - judged).abs().max() < 1e-4


def test_patching_gives_what_converting_gives(tiny, tmp_path):
    base, lora = dense.ensure(tiny.base, tiny.device), loras.read(tiny.home.adapter(tiny.adapters["r8 all-linear"]), "merged")
    for dtype in ("float32", "float16"):
        (tmp_path / dtype).mkdir()
        merged.write(base, lora, tmp_path / dtype, dtype)
    one, other = loaded(tmp_path / "float32").state_dict(), loaded(tmp_path / "float16").state_dict()
    assert all(torch.equal(one[name].half(), other[name].half()) for name in one)
    assert loaded(tmp_path / "float16").dtype == torch.float16


def test_a_direction_and_a_length_are_merged_too(tmp_path):
    """DoRA, which no other format carries."""
    tiny = made.make(tmp_path / "dora", adapters={"dora": made.LoraSettings(rank=4, alpha=8, dora=True)})
    folder = tiny.home.adapter(tiny.adapters["dora"])
    lora = loras.read(folder, "merged", merged.CARRIES)
    merged.write(dense.ensure(tiny.base, tiny.device), lora, tmp_path)
    difference = (logits(loaded(tmp_path)) - logits(tiny.judged(tiny.adapters["dora"]))).abs().max()
    assert difference < 1e-3 < (logits(loaded(tmp_path)) - logits(tiny.judged(None))).abs().max()
    with pytest.raises(ModelError, match="gguf cannot carry this adapter: use_dora = True"):
        loras.read(folder, "gguf")


def test_a_damaged_cache_is_made_again(own_tiny):
    folder = dense.ensure(own_tiny.base, own_tiny.device)
    whole = (folder / dense.WEIGHTS).read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-100], b""):
        (folder / dense.WEIGHTS).write_bytes(damaged)
        assert (dense.ensure(own_tiny.base, own_tiny.device) / dense.WEIGHTS).read_bytes() == whole
    (folder / dense.RECEIPT).unlink()
    assert dense.whole(dense.ensure(own_tiny.base, own_tiny.device))
