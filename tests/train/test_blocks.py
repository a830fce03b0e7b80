"""A model made lean is the model it was: same loss, same gradients of the adapter, plain PEFT; what is not known stays."""
import pytest
import torch
from bitsandbytes.nn import Linear4bit

from edge_sleep.config import Lora
from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.model import adapter, base
from edge_sleep.train import blocks
from edge_sleep.train.objective import chunked_objective, prepare_for_training
from tests.ops.played import played  # noqa: F401

SHAPE = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "attention_dropout": 0.0}


def tiny(family="qwen2", dtype=torch.float32, lora=None, checkpointing=True):
    """A model of two blocks in 4-bit with an adapter whose B is not zero, so that every gradient flows."""
    import transformers

    windowed = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"]} if family == "gemma3" else {}
    build, settings = {"qwen2": ("Qwen2", "Qwen2Config"), "llama": ("Llama", "LlamaConfig"), "mistral": ("Mistral", "MistralConfig"),
                       "qwen3": ("Qwen3", "Qwen3Config"), "gemma3": ("Gemma3", "Gemma3TextConfig")}[family]
    torch.manual_seed(0)
    config = getattr(transformers, settings)(**SHAPE, **windowed)
    model = getattr(transformers, f"{build}ForCausalLM")(config).to(dtype)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings():
            made = Linear4bit(module.in_features, module.out_features, module.bias is not None, dtype, quant_type="nf4")
            made.load_state_dict(module.state_dict())
            model.set_submodule(name, made.to("cpu"))
    model.requires_grad_(False)
    base._keep_one_form(model)
    model.is_loaded_in_4bit = True
    prepare_for_training(model, checkpointing)
    made = adapter.attach_new(model, lora or Lora(rank=4, alpha=8), seed=0)
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=dice) * 0.05)
    return made.train()


def batch(packed=False):
    dice = torch.Generator().manual_seed(2)
    sizes = [(21, 9), (5, 6), (140, 20), (9, 4)]
    made = [TokenisedExample(tuple(torch.randint(1, 96, (asked + said,), generator=dice).tolist()), asked, asked + said, 0.5 + place)
            for place, (asked, said) in enumerate(sizes)]
    return collate(made, 0, packed)


def loss_and_gradients(model, given):
    loss_of, _ = chunked_objective(model, chunk=8)
    model.zero_grad()
    torch.manual_seed(7)
    loss = loss_of(model, given, 20.0)
    loss.backward()
    return loss.detach(), {name: value.grad.clone() for name, value in model.named_parameters() if value.requires_grad}


def cosine(one, other):
    flat = [torch.cat([gradients[name].flatten() for name in one]).double() for gradients in (one, other)]
    return torch.nn.functional.cosine_similarity(*flat, dim=0).item()


@pytest.mark.parametrize(("family", "packed", "lora", "checkpointing"), [
    ("qwen2", False, {}, True), ("qwen2", True, {}, True), ("qwen2", False, {"targets": "q_proj,v_proj"}, True),
    ("qwen2", True, {}, False), ("qwen2", False, {"dropout": 0.3}, True), ("qwen2", False, {"rslora": True}, True),
    ("llama", True, {}, True), ("mistral", False, {}, True), ("qwen3", True, {}, True), ("gemma3", True, {}, True), ("gemma3", False, {}, True)])
def test_loss_and_gradients_are_those_of_the_model_as_it_was(family, packed, lora, checkpointing):
    given = batch(packed)
    plain, lean = (tiny(family, lora=Lora(rank=4, alpha=8, **lora), checkpointing=checkpointing) for _ in range(2))
    swaps = {swap.op: swap for swap in blocks.make_lean(lean, checkpointing=checkpointing)}
    expected = ["lora_linear", "attention"] + ["swiglu"] * (family != "gemma3")        # Gemma's gate is a GELU
    assert all(swaps[op].replaced for op in expected), list(map(str, swaps.values()))
    assert lean.training
    loss, gradients = loss_and_gradients(plain, given)
    loss_lean, gradients_lean = loss_and_gradients(lean, given)
    if not lora.get("dropout"):                       # other layers draw their masks in another order
        torch.testing.assert_close(loss_lean, loss, rtol=1e-5, atol=1e-6)
        assert gradients.keys() == gradients_lean.keys()
        for name, gradient in gradients.items():
            assert (gradients_lean[name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-7, name
    assert all(value.abs().max() > 0 for value in gradients_lean.values())


def test_dropout_draws_the_masks_that_peft_draws():
    plain, lean = (tiny(lora=Lora(rank=4, alpha=8, dropout=0.3, targets="q_proj")) for _ in range(2))
    blocks.make_lean(lean, checkpointing=True)
    (loss, gradients), (loss_lean, gradients_lean) = (loss_and_gradients(model, batch()) for model in (plain, lean))
    torch.testing.assert_close(loss_lean, loss, rtol=1e-5, atol=1e-6)
    assert cosine(gradients, gradients_lean) > 0.9999


def test_in_bfloat16_no_further_from_the_truth_than_the_library():
    """Gradients of the model in bfloat16, the library's and ours, both against the same weights in float32."""
    plain, lean = (tiny(dtype=torch.bfloat16) for _ in range(2))
    exact = tiny(dtype=torch.bfloat16).float()
    for module in exact.modules():
        if isinstance(module, Linear4bit):
            module.compute_dtype = torch.float32
    blocks.make_lean(lean, checkpointing=True)
    (_, truth), (_, theirs), (_, ours) = (loss_and_gradients(model, batch()) for model in (exact, plain, lean))
    assert cosine(ours, truth) > 0.999
    assert 1 - cosine(ours, truth) < 2 * (1 - cosine(theirs, truth)) + 1e-5


def test_dora_stays_with_peft():
    model = tiny(lora=Lora(rank=4, alpha=8, dora=True))
    swaps = {swap.op: swap for swap in blocks.make_lean(model, checkpointing=True)}
    assert not swaps["lora_linear"].replaced and "DoRA" in str(swaps["lora_linear"])
    other = tiny(lora=Lora(rank=4, alpha=8, dora=True))
    (loss, gradients), (loss_lean, gradients_lean) = (loss_and_gradients(one, batch()) for one in (other, model))
    torch.testing.assert_close(loss_lean, loss, rtol=1e-5, atol=1e-6)
    assert cosine(gradients, gradients_lean) > 0.99999
    assert any("magnitude" in name for name in gradients)


def test_without_its_adapter_the_lean_model_is_the_base():
    model = tiny()
    with torch.no_grad(), model.disable_adapter():
        want = model(torch.arange(1, 9)[None]).logits
    blocks.make_lean(model, checkpointing=True)
    with torch.no_grad(), model.disable_adapter():
        torch.testing.assert_close(model(torch.arange(1, 9)[None]).logits, want, rtol=1e-4, atol=1e-5)


def test_a_part_that_computes_otherwise_is_left_alone():
    model = tiny()
    for module in model.modules():
        if type(module).__name__ == "Qwen2RMSNorm":
            module.forward = lambda hidden_states: hidden_states * 3
    swaps = {swap.op: swap for swap in blocks.make_lean(model, checkpointing=True)}
    assert not swaps["rms_norm"].replaced and "off by" in swaps["rms_norm"].reason


def test_where_the_whole_speaks_otherwise_everything_is_put_back(monkeypatch):
    model = tiny()
    want, _ = loss_and_gradients(tiny(), batch())
    monkeypatch.setattr(blocks, "_attend", lambda module, query, key, value, mask, **rest: (value.transpose(1, 2).repeat(1, 1, 2, 1) * 9, None))
    swaps = blocks.make_lean(model, checkpointing=True)
    assert all(not swap.replaced and "off by" in swap.reason for swap in swaps)
    got, _ = loss_and_gradients(model, batch())
    assert torch.equal(got, want)


def test_what_is_saved_is_plain_peft(tmp_path):
    model = tiny()
    blocks.make_lean(model, checkpointing=True)
    adapter.save(model, tmp_path / "lean", "x")
    adapter.save(tiny(), tmp_path / "plain", "x")
    for name in (adapter.WEIGHTS, adapter.CONFIG):
        assert (tmp_path / "lean" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.night
@pytest.mark.parametrize(("family", "packed"), [("qwen2", False), ("gemma3", True)])
def test_with_every_kernel_the_model_is_still_the_same(family, packed, played, monkeypatch):  # noqa: F811
    """All compiled kernels at once, on a played GPU: the site says cuda, the tensors lie on the CPU."""
    from edge_sleep.ops import nf4, proof, registry
    monkeypatch.setattr(proof, "why_not", lambda kernel, device, dtype: None)
    monkeypatch.setattr(proof, "library_fails", lambda device: "of a test")
    nf4._chosen.cache_clear()
    try:
        plain, lean = tiny(family), tiny(family)
        swaps = {swap.op: swap for swap in blocks.make_lean(lean, checkpointing=True)}
        assert registry.choose("linear_cross_entropy", registry.Site("cpu", "float32")).implementation.name == "kernel"
        assert swaps["rope"].replaced == 2 and swaps["nf4"].replaced == 14 and "one launch" in swaps["nf4"].reason, list(map(str, swaps.values()))
        (loss, gradients), (loss_lean, gradients_lean) = (loss_and_gradients(model, batch(packed)) for model in (plain, lean))
        torch.testing.assert_close(loss_lean, loss, rtol=1e-5, atol=1e-6)
        for name, gradient in gradients.items():
            assert (gradients_lean[name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-7, name
    finally:
        nf4._chosen.cache_clear()
