import pytest

from edge_sleep.device import detect
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
