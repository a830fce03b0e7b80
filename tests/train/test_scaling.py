"""float16 with a scaled loss: an overflow is recovered from, float32's losses are met, and a resume is exact."""
import itertools

import pytest
import torch

from edge_sleep.config import Lora, Train
from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.errors import ModelError
from edge_sleep.model import adapter
from edge_sleep.train import loop, objective, scaling, state

EXAMPLES = [TokenisedExample(tuple(range(1, 6 + index % 4)), 2, 5 + index % 4, 1.0) for index in range(8)]
SETTINGS = Train(epochs=4, micro_batch=4, learning_rate=1e-2, loss_floor=0)


@pytest.fixture(scope="module")
def config():
    from transformers import Qwen2Config

    return Qwen2Config(vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
                       num_key_value_heads=1, max_position_embeddings=64)


def run(config, dtype=torch.float16, folder=None, stop_at=None, resume=False, settings=SETTINGS, times=1.0, **changes):
    """Train a tiny model in `dtype` with float32 masters; returns its adapter's weights, the Training, and the scales it met."""
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    base = Qwen2ForCausalLM(config).to(dtype).requires_grad_(False)
    model = adapter.attach_new(base, Lora(rank=4, alpha=8, dropout=0.1), seed=0)
    weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert {value.dtype for value in weights.values()} == {torch.float32} and base.model.embed_tokens.weight.dtype is dtype
    objective.prepare_for_training(base, False)
    inner, _ = objective.chunked_objective(model, 16)
    torch.manual_seed(5)
    saved, met, count = state.latest(folder) if resume else None, [], itertools.count()
    training = loop.train(
        model, EXAMPLES, settings, pad=0, monotonic=lambda: 0.0, state_every=1e9,
        loss_of=lambda model, batch, denominator: inner(model, batch, denominator / times) / times,
        may_step=lambda seconds: loop.Stop.DEADLINE if next(count) == stop_at else None,
        save=lambda parameters, optimiser, progress: folder and state.save(folder, parameters, optimiser, progress),
        restore=(lambda parameters, optimiser: state.restore(saved, parameters, optimiser)) if saved else None,
        on_rescale=lambda progress: met.append(progress.scale), **{"first_scale": scaling.first("float16"), **changes})
    return torch.cat([value.detach().flatten() for value in weights.values()]), training, met


def test_float16_learns_what_float32_learns(config):
    exact, in_full, _ = run(config, torch.float32, first_scale=1.0)
    scaled, training, _ = run(config)
    assert training.stop is loop.Stop.FINISHED and training.progress.scale >= 2 ** 10
    assert training.progress.losses == pytest.approx(in_full.progress.losses, abs=0.02), "11 bits of mantissa through two blocks"
    assert torch.nn.functional.cosine_similarity(scaled, exact, dim=0) > 0.99


def test_a_step_that_overflows_is_tried_again_at_half_the_scale(config):
    _, calm, _ = run(config, first_scale=2.0 ** 8)
    huge, training, met = run(config, first_scale=2.0 ** 40)
    assert met == [2.0 ** power for power in range(39, 39 - len(met), -1)] and 10 < len(met) < 36
    assert training.stop is loop.Stop.FINISHED and torch.isfinite(huge).all()
    assert training.progress.losses == pytest.approx(calm.progress.losses, abs=0.02), "the same examples, the same dropout"
    assert training.progress.scale == met[-1] and training.progress.good_steps == training.progress.step


def test_many_good_steps_double_the_scale(config, monkeypatch):
    monkeypatch.setattr(scaling, "GROW_AFTER", 3)
    _, training, met = run(config, first_scale=16.0)
    assert training.progress.step == 8 and not met
    assert (training.progress.scale, training.progress.good_steps) == (64.0, 2)


@pytest.mark.parametrize("stop_at", [0, 1, 5])
def test_a_scaled_night_resumes_to_the_same_bits(config, tmp_path, stop_at, monkeypatch):
    monkeypatch.setattr(scaling, "GROW_AFTER", 3)
    whole, finished, _ = run(config, folder=tmp_path / "whole", first_scale=2.0 ** 40)
    # may_step is asked again before each new try of a step
    tries = 0 if stop_at == 0 else stop_at + len(run(config, settings=SETTINGS.model_copy(update={"epochs": 1}), first_scale=2.0 ** 40)[2])
    _, stopped, _ = run(config, folder=tmp_path / "cut", stop_at=tries, first_scale=2.0 ** 40)
    assert stopped.stop is loop.Stop.DEADLINE
    resumed, end, _ = run(config, folder=tmp_path / "cut", resume=True, first_scale=2.0 ** 40)
    assert torch.equal(whole, resumed) and end.progress.losses == finished.progress.losses
    assert (end.progress.scale, end.progress.good_steps) == (finished.progress.scale, finished.progress.good_steps)


def test_a_loss_that_is_not_finite_is_no_matter_of_scale(config):
    with pytest.raises(ModelError, match="not finite"):
        run(config, times=float("nan"))


def test_at_scale_one_a_gradient_that_overflows_ends_the_training(config):
    with pytest.raises(ModelError, match="or its gradient, is not finite"):
        run(config, times=2.0 ** 40, first_scale=1.0)


def test_below_the_least_scale_nothing_is_left_to_try(config):
    with pytest.raises(ModelError, match="or its gradient, is not finite"):
        run(config, times=2.0 ** 60)


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1.0), ("bfloat16", 1.0), ("float16", 65536.0)])
def test_only_float16_is_scaled(dtype, scale):
    assert scaling.first(dtype) == scale
