"""Early stop on held-out loss: watched without dropout, kept from the random state, exact through a resume."""
import itertools

import pytest
import torch

from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.errors import DoesNotFit
from edge_sleep.train import loop, state
from edge_sleep.train.held_out import mean_loss, stalled, without_dropout
from tests.train.test_loop import EXAMPLES, SETTINGS, Short, Small, loss_of, run, weights

# What training cannot teach: the words of the examples, each followed by another one than there.
OTHERS = [TokenisedExample(tuple(reversed(example.ids)), 1, example.end, 5.0) for example in EXAMPLES[:5]]
# What it does teach: the examples' own ids.
KIN = [TokenisedExample(example.ids, example.start, example.end, 5.0) for example in EXAMPLES[:5]]
WATCHED = SETTINGS.model_copy(update={"epochs": 9, "patience": 2, "loss_floor": 0.0, "learning_rate": 3e-2})


@pytest.mark.parametrize(("losses", "patience", "expected"), [
    ([3.0, 2.0, 1.0], 1, False), ([3.0, 2.0, 2.0], 1, True), ([3.0, 2.0, 2.1], 2, False), ([3.0, 2.0, 2.1, 2.0], 2, True),
    ([3.0, 2.0, 2.1, 1.9], 2, False), ([3.0, 4.0], 2, False), ([3.0, 4.0, 5.0], 2, True), ([3.0, 4.0, 5.0], 0, False), ([], 1, False)])
def test_stalled_is_no_new_lowest_for_so_many_epochs(losses, patience, expected):
    assert stalled(losses, patience) is expected


def loss(model, examples=OTHERS, micro_batch=2, **changes):
    return mean_loss(model, examples, pad=0, packed=False, device="cpu", **{"loss_of": loss_of, "micro_batch": micro_batch, **changes})


def test_it_is_the_mean_of_the_tokens_without_dropout_and_without_weights():
    model = Small().train()
    chance = torch.get_rng_state()
    found = loss(model)
    assert torch.equal(torch.get_rng_state(), chance) and model.training and model.dropout.p == 0.2
    logits = [model.trained(model.frozen(torch.tensor(example.ids[:-1]))) for example in OTHERS]
    tokens = torch.cat([torch.nn.functional.cross_entropy(rows, torch.tensor(example.ids[1:]), reduction="none")
                        for rows, example in zip(logits, OTHERS, strict=True)])
    assert found == pytest.approx(tokens.mean().item(), abs=1e-6)
    assert loss(model, micro_batch=1) == pytest.approx(found, abs=1e-6) == loss(model, micro_batch=5)
    assert all(value.grad is None for value in model.parameters())


def test_a_functional_dropout_of_attention_is_off_too():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                         num_attention_heads=2, num_key_value_heads=1, attention_dropout=0.5)).train()
    ids = torch.arange(1, 9)[None]
    with without_dropout(model):
        assert torch.equal(model(ids).logits, model(ids).logits)
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_it_shrinks_where_memory_is_short_and_says_where_nothing_is_left():
    memory = Short(1, torch.OutOfMemoryError("out of memory"), loss_of)
    assert loss(Small(), micro_batch=4, loss_of=memory) == pytest.approx(loss(Small()), abs=1e-6)
    assert memory.failures == 2
    with pytest.raises(DoesNotFit, match="one held-out example at a time"):
        loss(Small(), loss_of=Short(0, torch.OutOfMemoryError("out of memory")))


def test_a_night_that_no_longer_helps_strangers_ends_with_one_epoch_of_a_falling_rate():
    shown = []
    _, training = run(settings=WATCHED, held_out=OTHERS, on_step=lambda progress, steps, rate: shown.append((progress.epoch, rate)))
    progress = training.progress
    assert training.stop is loop.Stop.HELD_OUT and progress.epoch < WATCHED.epochs
    assert stalled(progress.held_out[:-1], 2) and not stalled(progress.held_out[:-2], 2)
    assert len(progress.held_out) == 1 + progress.epoch
    last = [rate for epoch, rate in shown if epoch == progress.epoch - 1]
    assert last == sorted(last, reverse=True) and last[-1] < 0.5 * last[0]


def test_a_night_that_helps_strangers_goes_on():
    _, training = run(settings=WATCHED, held_out=KIN)
    assert training.stop is loop.Stop.FINISHED and len(training.progress.held_out) == 1 + WATCHED.epochs
    assert training.progress.held_out == sorted(training.progress.held_out, reverse=True)


def test_watching_changes_no_weight():
    watched, _ = run(settings=WATCHED, held_out=KIN)
    alone, training = run(settings=WATCHED.model_copy(update={"patience": 0}), held_out=KIN)
    assert torch.equal(weights(watched), weights(alone)) and not training.progress.held_out


@pytest.mark.parametrize("stop_at", [0, 1, 3, 4, 18, 19, 20, 21, 23])
def test_a_watched_night_resumes_to_the_same_bits(tmp_path, stop_at):
    """Three steps an epoch, then one question whether there is time to watch: 3, 19 and 23 stop between the two."""
    whole, finished = run(tmp_path / "whole", settings=WATCHED, held_out=OTHERS)
    _, stopped = run(tmp_path / "cut", stop_at=stop_at, settings=WATCHED, held_out=OTHERS)
    assert stopped.stop is loop.Stop.DEADLINE
    resumed, end = run(tmp_path / "cut", resume=True, settings=WATCHED, held_out=OTHERS)
    assert end.stop is loop.Stop.HELD_OUT and torch.equal(weights(whole), weights(resumed))
    assert end.progress.held_out == finished.progress.held_out and end.progress.losses == finished.progress.losses


def test_watching_must_fit_into_the_night(tmp_path):
    asked = []
    ticks = itertools.count(step=10)
    run(tmp_path, settings=WATCHED, held_out=OTHERS, may_step=lambda seconds: asked.append(seconds), monotonic=lambda: float(next(ticks)))
    # Each step took one tick of ten seconds; five examples are one and a quarter of a step's four.
    assert asked[3] == pytest.approx(10 * 5 / 4)
    assert state.latest(tmp_path) is None
