"""The table of implementations: each loads, each choice has its reason, the first that suits is taken."""
import pytest

from edge_sleep.ops import registry
from edge_sleep.ops.registry import OPS, Implementation, Site, choose


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_op_has_an_implementation_everywhere(op, device):
    choice = choose(op, Site(device, "bfloat16"))
    assert choice.reason.startswith(choice.implementation.reason)
    if choice.own:
        assert callable(choice.implementation.load())


def test_what_was_passed_over_says_why():
    assert choose("attention", Site("cpu", "float32")).implementation.name == "blocked"
    choice = choose("attention", Site("cuda", "bfloat16"))
    assert choice.implementation.name == "sdpa" and not choice.own
    assert "not blocked: made for a CPU, not for cuda" in choice.reason


def test_a_kernel_in_front_is_taken_where_it_suits(monkeypatch):
    kernel = Implementation("kernel", "edge_sleep.ops.elementwise:swiglu", "compiled for this GPU",
                            lambda site: None if site.device == "cuda" else "needs a GPU")
    monkeypatch.setitem(registry.OPS, "swiglu", (kernel, *OPS["swiglu"]))
    assert choose("swiglu", Site("cuda", "bfloat16")).implementation is kernel
    assert "needs a GPU" in choose("swiglu", Site("cpu", "bfloat16")).reason
