"""A packed batch is the padded batch: same loss, same gradients, in every family's attention, and tried before use."""
import pytest
import torch

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.train.objective import can_pack, chunked_objective

SHAPE = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0, "attention_dropout": 0.0}


def tiny(family: str, attention: str):
    from transformers import Gemma2Config, Gemma3TextConfig, LlamaConfig, Qwen2Config
    from transformers import Gemma2ForCausalLM as Gemma2
    from transformers import Gemma3ForCausalLM as Gemma3
    from transformers import LlamaForCausalLM as Llama
    from transformers import Qwen2ForCausalLM as Qwen2

    # A window far shorter than a row, and than the longest example: within an example it must count from its start.
    windowed = {"head_dim": 8, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}
    build, settings = {"qwen2": (Qwen2, Qwen2Config(**SHAPE)), "llama": (Llama, LlamaConfig(**SHAPE)),
                       "gemma2": (Gemma2, Gemma2Config(**SHAPE, **windowed)),
                       "gemma3": (Gemma3, Gemma3TextConfig(**SHAPE, **windowed))}[family]
    torch.manual_seed(0)
    settings._attn_implementation = attention
    return build(settings).to(torch.float32).train()


def examples():
    generator = torch.Generator().manual_seed(1)
    sizes = [(21, 4), (3, 2), (5, 6), (2, 3), (9, 1), (4, 4), (3, 8)]
    return [TokenisedExample(tuple(torch.randint(1, 96, (prompt + answer,), generator=generator).tolist()), prompt, prompt + answer,
                             0.5 + index % 3) for index, (prompt, answer) in enumerate(sizes)]


def loss_and_gradients(model, batch, denominator):
    loss_of, _ = chunked_objective(model, chunk=8)
    # The chunked head is frozen in a night (its own gradient is not made); so it is here.
    head = model.get_output_embeddings().weight
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is not head)
    model.zero_grad()
    loss = loss_of(model, batch, denominator)
    loss.backward()
    return loss.detach(), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize(("family", "attention"), [
    ("qwen2", "eager"), ("qwen2", "sdpa"), ("llama", "eager"), ("llama", "sdpa"), ("gemma2", "eager"),      # soft-capped: no sdpa
    ("gemma3", "eager"), ("gemma3", "sdpa")])
def test_a_packed_batch_has_the_loss_and_gradients_of_the_padded_one(family, attention):
    model, made = tiny(family, attention), examples()
    denominator = sum(one.weight * one.supervised for one in made)
    padded, packed = collate(made, 0), collate(made, 0, packed=True)
    assert packed["input_ids"].shape[0] < padded["input_ids"].shape[0] and packed["input_ids"].numel() < padded["input_ids"].numel()
    loss, gradients = loss_and_gradients(model, padded, denominator)
    loss_packed, gradients_packed = loss_and_gradients(model, packed, denominator)
    torch.testing.assert_close(loss_packed, loss, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == gradients_packed.keys() and len(gradients) > 10
    for name, gradient in gradients.items():
        # float32 sums over the same few hundred terms in another order
        torch.testing.assert_close(gradients_packed[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(("family", "attention"), [("qwen2", "sdpa"), ("llama", "eager"), ("gemma2", "eager"), ("gemma3", "sdpa")])
def test_these_families_can_be_packed(family, attention):
    model = tiny(family, attention)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert can_pack(model) == (True, "packed: short examples share rows, tried on this model")
    assert torch.equal(torch.get_rng_state(), before) and model.training


def test_an_adapter_with_dropout_is_no_hindrance():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny("qwen2", "sdpa"), LoraConfig(r=2, target_modules="all-linear", lora_dropout=0.5))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_()
    assert can_pack(model.train())[0]


@pytest.mark.parametrize(("forgets", "why"), [("restarts", "sees its neighbours"), ("positions", "does not restart")])
def test_a_model_that_would_mix_its_examples_is_found_out(forgets, why, monkeypatch):
    model = tiny("qwen2", "sdpa")
    inner = model.model.forward

    def forward(input_ids=None, position_ids=None, **rest):
        if forgets == "restarts":
            return inner(input_ids=input_ids, **rest)
        # Strangers to each other, but each row's positions run on: rotary ones would not care, learned ones would.
        mask = torch.full((1, 1, *input_ids.shape[1:], *input_ids.shape[1:]), -torch.inf)
        for start in (position_ids[0] == 0).nonzero().flatten().tolist():
            mask[..., start:start + 6, start:start + 6] = torch.full((6, 6), -torch.inf).triu(1)
        embedded = model.model.embed_tokens(input_ids)
        learned = torch.linspace(-1, 1, 12)[:input_ids.shape[1], None]
        return inner(**{**rest, "inputs_embeds": embedded + learned, "attention_mask": mask})

    monkeypatch.setattr(model.model, "forward", forward)
    packs, reason = can_pack(model)
    assert not packs and why in reason
