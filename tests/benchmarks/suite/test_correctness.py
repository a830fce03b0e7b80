"""A step that is not the reference's is seen: by its loss, by where its gradient points, by how long it is, by what it trains."""
import pytest
import torch
from edge_sleep.benchmarks.suite import correctness

from tests import micro


@pytest.mark.parametrize("dtype, loss, cosine, norms, said", [
    ("float32", 2.0, 1.0, 1.0, []), ("float32", 2.0001, 1.0, 1.0, ["loss"]), ("float32", 2.0, 0.9999, 1.0, ["elsewhere"]),
    ("float32", 2.0, 1.0, 1.01, ["times as long"]), ("bfloat16", 2.0001, 0.99, 1.01, []), ("bfloat16", 2.1, 0.9, 0.5, ["loss", "elsewhere", "long"]),
    ("float32", float("nan"), float("nan"), float("nan"), ["loss", "elsewhere", "long"])])
def test_judge(dtype, loss, cosine, norms, said):
    found = correctness.judge(dtype, loss, 2.0, cosine, norms)
    assert len(found) == len(said) and all(word in reason for word, reason in zip(said, found, strict=True))


@pytest.mark.parametrize("who, dtype, bounds", [("ours", "float32", "float32"), ("without", "bfloat16", "bfloat16"), ("trl", "float32", "bfloat16")])
def test_ours_is_held_to_the_exact_bounds(who, dtype, bounds):
    assert correctness.held_to(who, dtype) == bounds


GRADIENT = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}


@pytest.mark.parametrize("other, said", [
    (GRADIENT, None), ({"a": GRADIENT["a"]}, "another adapter"), ({**GRADIENT, "a": -GRADIENT["a"]}, "elsewhere"),
    ({name: 2 * value for name, value in GRADIENT.items()}, "as long")])
def test_compare(other, said):
    found = correctness.compare("float32", 2.0, GRADIENT, 2.0, other)
    assert found["reasons"] == [] if said is None else said in found["reasons"][0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(micro.make_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def reference(model):
    return correctness.step(model, "reference", 2, 16, {})


@pytest.mark.night
def test_ours_takes_the_references_step_and_a_mutant_does_not(model, reference):
    loss, gradient = reference
    for settings, right in (({}, True), ({"targets": "q_proj"}, False), ({"embedding": "int8"}, False)):
        mine, own = correctness.step(model, "ours", 2, 16, {"dtype": "float32", **settings})
        assert (correctness.compare("float32", mine, own, loss, gradient)["reasons"] == []) is right, settings
