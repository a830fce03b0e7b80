"""Gradients that do not do their work, and tensors that did not move, are said by name before anything is staged."""
import pytest
import torch

from edge_sleep.config import Lora, Train
from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.errors import ModelError
from edge_sleep.model import adapter
from edge_sleep.train import gradient, loop, objective

EXAMPLES = [TokenisedExample(tuple(range(1, 8)), 3, 7, 1.0)] * 4


@pytest.fixture
def model():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    base = Qwen2ForCausalLM(Qwen2Config(vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64))
    return adapter.attach_new(base.requires_grad_(False), Lora(rank=4, alpha=8), seed=0)


def trainable(model):
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def run(model, steps):
    before = {name: value.detach().clone() for name, value in trainable(model).items()}
    loss_of, _ = objective.chunked_objective(model, 16)
    done = loop.train(model, EXAMPLES, Train(epochs=steps, micro_batch=4, learning_rate=1e-3, loss_floor=0), pad=0, loss_of=loss_of,
                      may_step=lambda seconds: None, save=lambda *_: None, monotonic=lambda: 0.0, state_every=1e9)
    gradient.check_moved(before, trainable(model), done.progress.step)
    return before


@pytest.mark.parametrize("steps", [1, 2])
def test_a_training_moves_every_tensor_but_the_first_step_no_a(model, steps):
    before = run(model, steps)
    still = {name for name, value in trainable(model).items() if torch.equal(value, before[name])}
    assert still == ({name for name in before if "lora_A" in name} if steps == 1 else set())


def test_a_continued_adapter_moves_its_a_in_one_step(model):
    run(model, 2)
    run(model, 1)


@pytest.mark.parametrize(("steps", "name"), [(1, "v_proj.lora_B"), (2, "q_proj.lora_A")])
def test_a_tensor_that_did_not_move_is_named(model, steps, name, monkeypatch):
    """Its optimiser leaves it where it is, as one that was given a copy would."""
    kept = {key: value.detach().clone() for key, value in trainable(model).items() if name in key and "layers.1" in key}
    step = torch.optim.AdamW.step

    def forgetful(self):
        step(self)
        with torch.no_grad():
            for key, value in trainable(model).items():
                if key in kept:
                    value.copy_(kept[key])

    monkeypatch.setattr(torch.optim.AdamW, "step", forgetful)
    with pytest.raises(ModelError, match=rf"left 1 of 28 adapter tensors as they were, first .*layers\.1\..*{name}"):
        run(model, steps)


def test_a_gradient_that_stays_zero_is_named_at_the_second_step(model):
    """A block that is left out of the sum: its adapter gets gradients, all of them zero."""
    block = model.get_base_model().model.layers[1]
    block.mlp.register_forward_hook(lambda module, inputs, output: output * 0.0)
    with pytest.raises(ModelError, match=r"zero at step 2, first .*layers\.1\.mlp\.gate_proj\.lora_A"):
        run(model, 3)


def test_b_is_zero_at_first_and_that_is_no_fault(model):
    batch = gradient.collate(EXAMPLES, 0)
    objective.chunked_objective(model, 16)[0](model, batch, 1.0).backward()
    assert not any(value.grad.any() for name, value in trainable(model).items() if "lora_A" in name)
    gradient.check(trainable(model), 0)
    with pytest.raises(ModelError, match="zero at step 2"):
        gradient.check(trainable(model), 1)
