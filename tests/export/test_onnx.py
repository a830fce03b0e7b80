from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_sleep.errors import DeviceError, IntegrityError, ModelError
from edge_sleep.export import dense, onnx_adapter, onnx_base
from edge_sleep.export import lora as loras
from edge_sleep.export.onnx_graph import Site
from edge_sleep.model import decoding, ort
from tests.export import tiny as made

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxruntime_genai")

WORDS = list(range(3, 43))


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    """(the base's folder in float32, its sites)."""
    folder = tmp_path_factory.mktemp("onnx") / "base"
    folder.mkdir()
    more = onnx_base.write(dense.ensure(tiny.base, tiny.device), "fp32", folder)
    return folder, [Site.read(site) for site in more["sites"]]


def adapter_file(tiny, sites, kind, folder):
    lora = loras.read(tiny.home.adapter(tiny.adapters[kind]), "onnx")
    onnx_adapter.write(sites, lora, folder / ort.ADAPTER)
    return folder / ort.ADAPTER


def judged_says(tiny, kind, ids=WORDS, most=24):
    model = tiny.judged(tiny.adapters[kind] if kind else None)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
        said = list(ids)
        for _ in range(most):
            said.append(int(model(input_ids=torch.tensor([said]), use_cache=False).logits[0, -1].argmax()))
    return logits, said[len(ids):]


def test_an_open_base_is_the_base(tiny, built):
    folder, sites = built
    logits, said = judged_says(tiny, None)
    model = ort.OrtModel(folder, threads=1)
    assert (model.logits(WORDS) - logits).abs().max() <= 1e-4
    assert decoding.greedy(model, WORDS, len(said)) == said
    assert [site.modules for site in sites[:2]] == [
        tuple(f"model.layers.0.self_attn.{name}_proj" for name in "qkv"), ("model.layers.0.self_attn.o_proj",)]


@pytest.mark.parametrize("kind", made.ADAPTERS)
def test_the_adapter_speaks_as_it_was_judged(tiny, built, tmp_path, kind):
    folder, sites = built
    logits, said = judged_says(tiny, kind)
    model = ort.OrtModel(folder, threads=1)
    of_base = model.logits(WORDS)
    model.use(adapter_file(tiny, sites, kind, tmp_path))
    assert (model.logits(WORDS) - logits).abs().max() <= 1e-4 < 0.1 < (of_base - logits).abs().max()
    assert decoding.greedy(model, WORDS, len(said)) == said


def test_adapters_are_swapped_without_loading_the_base(tiny, built, tmp_path):
    folder, sites = built
    model = ort.OrtModel(folder, threads=1)
    session, of_base, seen = model.session, model.logits(WORDS), []
    for kind in (*made.ADAPTERS, *reversed(made.ADAPTERS)):
        (tmp_path / kind).mkdir(exist_ok=True)
        model.use(adapter_file(tiny, sites, kind, tmp_path / kind))
        seen.append(model.logits(WORDS))
    assert all(torch.equal(one, other) for one, other in zip(seen, reversed(seen), strict=True))
    assert len({value.sum().item() for value in seen}) == 3
    model.use(None)
    assert torch.equal(model.logits(WORDS), of_base) and model.session is session


def test_genai_speaks_the_same(tiny, built, tmp_path):
    import onnxruntime_genai as genai
    folder, sites = built
    model = genai.Model(str(folder))
    adapters = genai.Adapters(model)
    logits, said = judged_says(tiny, "r16 rsLoRA")
    adapters.load(str(adapter_file(tiny, sites, "r16 rsLoRA", tmp_path)), "night")
    settings = genai.GeneratorParams(model)
    settings.set_search_options(max_length=len(WORDS) + len(said), do_sample=False)
    for active, same in (("night", True), (None, False)):
        generator = genai.Generator(model, settings)
        if active:
            generator.set_active_adapter(adapters, active)
        generator.append_tokens(np.array([WORDS], np.int32))
        found = torch.from_numpy(np.asarray(generator.get_logits()).reshape(-1, logits.shape[1])[-1].copy())
        assert bool((found - logits[-1]).abs().max() <= 1e-4) is same
        while not generator.is_done():
            generator.generate_next_token()
        # genai stops at an end of turn, the model above went on
        got = list(generator.get_sequence(0))[len(WORDS):]
        assert (got == said[:len(got)]) is same and (got or not same)


@pytest.mark.night
def test_eight_bits_stay_near(tmp_path):
    tiny = made.make(tmp_path / "tiny", adapters={"r8 all-linear": made.ADAPTERS["r8 all-linear"]})
    folder = tmp_path / "base"
    folder.mkdir()
    more = onnx_base.write(dense.ensure(tiny.base, tiny.device), "int8", folder)
    model = ort.OrtModel(folder, threads=1)
    model.use(adapter_file(tiny, [Site.read(site) for site in more["sites"]], "r8 all-linear", tmp_path))
    logits, _ = judged_says(tiny, "r8 all-linear", most=1)
    assert 0 < (model.logits(WORDS) - logits).abs().mean() < 0.05 * logits.std()


def test_layers_side_by_side_keep_to_themselves(tiny, built):
    _, sites = built
    lora = loras.read(tiny.home.adapter(tiny.adapters["r4 q,v"]), "onnx")
    made_ = onnx_adapter.parameters(sites, lora)
    site = sites[0]
    assert set(made_) == {name for site in sites if "qkv" in site.name for name in (site.a, site.b)}
    change, at = made_[site.a] @ made_[site.b], 0
    for module, width in zip(site.modules, site.widths, strict=True):
        weights = lora.modules.get(module)
        wanted = np.zeros((site.inputs, width)) if weights is None else (lora.scale * weights.b @ weights.a).T.numpy()
        np.testing.assert_allclose(change[:, at:at + width], wanted, atol=1e-6)
        at += width


def test_a_layer_that_is_not_open_is_named(tiny, built):
    _, sites = built
    lora = loras.read(tiny.home.adapter(tiny.adapters["r8 all-linear"]), "onnx")
    with pytest.raises(ModelError, match="targets model.layers.0.mlp.down_proj, which the exported base has not open"):
        onnx_adapter.parameters([site for site in sites if "0.mlp.down_proj" not in site.name], lora)


def test_a_torn_adapter_or_graph_is_named(tiny, built, tmp_path):
    folder, sites = built
    file = adapter_file(tiny, sites, "r4 q,v", tmp_path)
    whole = file.read_bytes()
    model = ort.OrtModel(folder, threads=1)
    for torn in (whole[:100], b"", b"x" * 400):
        file.write_bytes(torn)
        with pytest.raises(IntegrityError, match="is not an adapter of ONNX Runtime"):
            model.use(file)
    assert model.adapter is None
    (tmp_path / ort.GRAPH).write_bytes((folder / ort.GRAPH).read_bytes()[:500])
    with pytest.raises(IntegrityError, match="does not load"):
        ort.OrtModel(tmp_path)


def test_a_builder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_base, "PACKAGES", ("onnx", "no-such-builder"))
    with pytest.raises(DeviceError, match="no-such-builder is not installed"):
        onnx_base.write(tmp_path, "fp32", tmp_path)
