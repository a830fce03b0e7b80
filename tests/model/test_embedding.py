"""The embedding and head in int8: a model that speaks nearly as before, from files, from the cache and in the night alike."""
from dataclasses import replace

import pytest
import torch

from edge_sleep.data.experience import Message
from edge_sleep.device import detect
from edge_sleep.model import base
from edge_sleep.model.embedding import Int8Output, Int8Table, head_of
from edge_sleep.ops.int8 import quantise_rows
from tests import micro

TALK: list[Message] = [{"role": "user", "content": "Who waters the ferns?"}]


def logits(model, tokenizer):
    ids = tokenizer("Who waters the ferns? Grandfather waters the ferns.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids).logits.float()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_same_from_files_from_the_cache_and_nearly_that_of_the_full_one(tmp_path, tied, dtype):
    place = base.resolve(str(micro.make_model(tmp_path / "model", tied=tied)))
    device = replace(detect.choose(), compute_dtype=dtype)
    full = base.Base(place, "a" * 64, dtype, tmp_path / "cache")
    small = replace(full, quantisation=base.INT8_EMBEDDING)
    first, again = base.load(small, device), base.load(small, device)
    assert (first.how, again.how) == ("quantised", "cache")
    want = base.load(full, device)
    said = [logits(loaded.model, loaded.tokenizer) for loaded in (first, again, want)]
    assert torch.equal(said[0], said[1])
    off = ((said[0] - said[2]).norm() / said[2].norm()).item()
    assert 0 < off < 0.03                               # a step of a row is 1/127 of its largest value
    tables = {id(head_of(first.model.get_output_embeddings()).values), id(first.model.get_input_embeddings().table.values)}
    assert len(tables) == (1 if tied else 2)


@pytest.mark.parametrize("rows", [1, 15, 16, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_few_rows_and_many_give_the_same_logits(rows, dtype):
    output = Int8Output(Int8Table(*quantise_rows(torch.randn(70, 32, generator=torch.Generator().manual_seed(0))), dtype))
    hidden = torch.randn(2, rows, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    want = hidden.float() @ output.table.head().lookup(torch.arange(70)).float().t()
    got = output(hidden).float()
    assert got.shape == (2, rows, 70) and (got - want).norm() < (1e-5 if dtype == torch.float32 else 2e-2) * want.norm()


@pytest.mark.night
def test_a_night_with_an_int8_embedding_is_served_as_it_was_trained(tmp_path):
    from edge_sleep import config
    from edge_sleep.serve.session import load_current
    from edge_sleep.system.home import Home

    model = micro.make_model(tmp_path / "model")
    record = micro.night(tmp_path / "home", model, micro.write_talk(tmp_path / "talk").parent, "companion.embedding=int8")
    assert record["outcome"] == "promoted", record["reason"]
    settings = config.load(None, [*micro.SETS, f"companion.model={model}"])
    session = load_current(Home(tmp_path / "home"), settings)
    assert session.identity["quantisation"] == "nf4-double-quant+int8-embedding"
    assert isinstance(session.model.get_output_embeddings(), Int8Output) and session.answer(TALK) is not None
