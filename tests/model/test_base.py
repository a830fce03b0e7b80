import pytest

from edge_sleep.device import detect
from edge_sleep.errors import ModelError
from edge_sleep.model import base
from tests import micro


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    place = base.resolve(str(micro.make_model(tmp_path_factory.mktemp("model") / "model")))
    return base.Base(place, base.fingerprint(place)[0], "float32")


def test_a_judged_model_is_the_one_that_was_trained(declared, monkeypatch):
    """bitsandbytes repacks in an eval-mode forward where the CPU has AVX512-BF16: here every CPU claims that it has."""
    import torch
    from bitsandbytes.nn import modules

    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    model = base.load(declared, detect.choose()).model
    words = torch.arange(12)[None]
    with torch.no_grad():
        judged = model.eval()(input_ids=words).logits
    trained = model.train()(input_ids=words).logits
    assert torch.equal(judged, trained)
    inside = model.get_input_embeddings()(words).detach().requires_grad_(True)
    model(inputs_embeds=inside).logits.sum().backward()
    assert inside.grad.abs().sum() > 0


def the_same(one, other):
    import torch

    for (name, left), (also, right) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert name == also and left.dtype == right.dtype and torch.equal(left, right), name
        if getattr(left, "quant_state", None) is not None:
            states = [weight.quant_state.as_dict(packed=True) for weight in (left, right)]
            assert all(torch.equal(states[0][part], states[1][part]) for part in states[0]), name


@pytest.mark.parametrize("tied", [True, False])
def test_reading_tensor_by_tensor_gives_what_transformers_gives(tmp_path, tied):
    folder = micro.make_model(tmp_path / "model", tied=tied)
    place = base.resolve(str(folder))
    declared = base.Base(place, base.fingerprint(place)[0], "float32", tmp_path / "cache")
    device = detect.choose()
    import torch
    plain = base._with_transformers(declared, device, torch.float32)
    first, second = base.load(declared, device), base.load(declared, device)
    assert (first.how, second.how) == ("quantised", "cache")
    the_same(plain, first.model)
    the_same(plain, second.model)
    assert first.model.generation_config.to_dict() == plain.generation_config.to_dict()


def test_a_damaged_cache_is_made_again(declared, tmp_path):
    from dataclasses import replace
    declared, device = replace(declared, cache=tmp_path), detect.choose()
    good = base.load(declared, device)
    [file] = tmp_path.glob("*.safetensors")
    whole = file.read_bytes()
    for damaged in (whole[:-9] + b"\xff" + whole[-8:], whole[:-100], whole[:20], b""):
        file.write_bytes(damaged)
        again = base.load(declared, device)
        assert again.how == "quantised"
        the_same(good.model, again.model)
        assert file.read_bytes() == whole and base.load(declared, device).how == "cache"


def test_a_cache_that_cannot_be_written_costs_no_conversation(declared, tmp_path):
    from dataclasses import replace
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert base.load(replace(declared, cache=blocked / "cache"), detect.choose()).how == "quantised"


def test_what_the_lean_way_does_not_know_goes_through_transformers(declared, monkeypatch):
    from edge_sleep.model import lean
    monkeypatch.setattr(lean, "_expected", lambda model: {})
    assert base.load(declared, detect.choose()).how.startswith("transformers: the files name ")


def test_loading_brings_no_compiler(declared):
    """In a process of its own, where nothing was imported before."""
    import subprocess
    import sys

    script = ("import sys, torch\n"
              "from pathlib import Path\n"
              "from edge_sleep.device import detect\n"
              "from edge_sleep.model import base\n"
              "compile_of_torch = torch.compile\n"
              "base.load(base.Base(base.resolve(sys.argv[1]), 'x', 'float32'), detect.choose())\n"
              "assert torch.compile is compile_of_torch\n"
              "import bitsandbytes\n"
              "print([name for name in ('torch._inductor.compile_fx', 'functorch.compile') if name in sys.modules])\n")
    done = subprocess.run([sys.executable, "-c", script, str(declared.place.folder)], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_head_is_not_copied_for_every_row(declared):
    """torch copies it once a row for an input in pieces, and the last position of every prompt is one."""
    import torch

    model = base.load(declared, detect.choose()).model
    read = []
    model.get_output_embeddings().register_forward_hook(lambda _, given, logits: read.append((given[0].is_contiguous(), logits)))
    words = torch.arange(12).reshape(3, 4)
    with torch.inference_mode():
        last = model(input_ids=words, use_cache=False, logits_to_keep=1).logits
        whole = model(input_ids=words, use_cache=False).logits
    assert [in_one_piece for in_one_piece, _ in read] == [True, True]
    assert torch.allclose(last, whole[:, -1:], atol=1e-5)


def test_weights_that_this_user_may_not_read_are_named(tmp_path, monkeypatch):
    """As in a container, which is another user than the one that saved them. Root may read all, so the answer is put in."""
    folder = micro.make_model(tmp_path / "model")
    monkeypatch.setattr(base.os, "access", lambda file, how: file.name != "model.safetensors")
    with pytest.raises(ModelError, match=r"may not read model\.safetensors in") as caught:
        base.resolve(str(folder))
    assert caught.value.do == f"as the owner: chmod -R a+rX {folder}"
