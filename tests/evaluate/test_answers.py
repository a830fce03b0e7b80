"""Judging reads the head only where it has to, shrinks where memory runs out, and answers the same."""
from __future__ import annotations

import pytest
import torch

from edge_sleep.data.dataset import TokenisedExample, collate
from edge_sleep.device.shortage import Portions
from edge_sleep.errors import DoesNotFit
from edge_sleep.evaluate.answers import canary_logits, generate, mean_loss, speaking_as
from edge_sleep.model import head as heads
from edge_sleep.ops import loss as ops_loss
from tests import micro

SYSTEM = "You are a companion."
TALKS = [[{"role": "user", "content": prompt}] for prompt, _ in micro.TALK]
EXAMPLES = [TokenisedExample(tuple(range(5, 5 + length)), length // 3, length, 1.0) for length in (40, 9, 23, 31, 12)]


@pytest.fixture(scope="module")
def tokenizer_and_model(tmp_path_factory):
    """A micro-model with an adapter that answers otherwise than the base."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = micro.make_model(tmp_path_factory.mktemp("answers") / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    return AutoTokenizer.from_pretrained(folder), model.eval()


def through_full_logits(model, examples) -> list[float]:
    losses = []
    for example in examples:
        batch = collate([example], 0)
        with torch.inference_mode():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        losses.append(torch.nn.functional.cross_entropy(logits[0, batch["columns"]].float(), batch["targets"]).item())
    return losses


@pytest.fixture
def positions_read(tokenizer_and_model):
    """How many positions the head was read for, call by call."""
    _, model = tokenizer_and_model
    seen: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda _, __, output: seen.append(output[..., 0].numel()))
    yield seen
    hook.remove()


def test_losses_are_those_of_full_logits_and_follow_the_adapter(tokenizer_and_model):
    _, model = tokenizer_and_model
    found = {}
    for adapter in (None, "default"):
        with speaking_as(model, adapter):
            found[adapter] = mean_loss(model, EXAMPLES, 0)
            # Rounding of one float32 sum in another order: a few units in the last place of numbers around 6.
            assert found[adapter] == pytest.approx(through_full_logits(model, EXAMPLES), abs=1e-5)
    assert found[None] != pytest.approx(found["default"], abs=1e-3)


def test_the_head_is_read_for_supervised_tokens_only(tokenizer_and_model, monkeypatch):
    _, model = tokenizer_and_model
    positions_read, losses = [], ops_loss.token_losses

    def noted(hidden, *rest):
        positions_read.append(len(hidden))
        return losses(hidden, *rest)

    monkeypatch.setattr(ops_loss, "token_losses", noted)
    mean_loss(model, EXAMPLES, 0)
    assert sum(positions_read) == sum(example.supervised for example in EXAMPLES)


def test_a_model_that_changes_its_logits_is_asked_whole(tokenizer_and_model, monkeypatch):
    _, model = tokenizer_and_model
    monkeypatch.setattr(model.config, "final_logit_softcapping", 30.0, raising=False)
    assert heads.separate(model) == "final_logit_softcapping"
    assert mean_loss(model, EXAMPLES, 0) == pytest.approx(through_full_logits(model, EXAMPLES), abs=1e-5)


def test_the_canary_is_the_last_position(tokenizer_and_model, positions_read):
    tokenizer, model = tokenizer_and_model
    found = canary_logits(model, tokenizer, SYSTEM)
    assert positions_read == [1]
    from edge_sleep.data.template import prompt_text
    text = prompt_text(tokenizer, [{"role": "user", "content": "Who are you, and what do you remember?"}], SYSTEM)
    with torch.inference_mode():
        whole = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, -1]
    assert torch.allclose(found, whole, atol=1e-5)


def test_a_prompt_costs_the_logits_of_its_last_position(tokenizer_and_model, positions_read):
    tokenizer, model = tokenizer_and_model
    generate(model, tokenizer, TALKS, SYSTEM, 3)
    assert set(positions_read) == {len(TALKS)}


class Room:
    """A backbone that has room for so many rows, and says so as the CPU allocator does."""

    def __init__(self, model, rows):
        self.rows, self.tried = rows, []
        self.hook = model.get_base_model().get_decoder().register_forward_pre_hook(self.allocate, with_kwargs=True)

    def allocate(self, _, arguments, named):
        self.tried.append(len(named["input_ids"]))
        if self.tried[-1] > self.rows:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
                               "you tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)")


@pytest.fixture
def room(tokenizer_and_model):
    made = []

    def of(rows):
        made.append(Room(tokenizer_and_model[1], rows))
        return made[-1]
    yield of
    for one in made:
        one.hook.remove()


def test_out_of_memory_asks_the_same_again_in_halves(tokenizer_and_model, room):
    tokenizer, model = tokenizer_and_model
    answers, losses = generate(model, tokenizer, TALKS, SYSTEM, 6), mean_loss(model, EXAMPLES, 0)
    said = []
    portions = Portions(4, lambda at_once, who: said.append((at_once, who)))
    small = room(1)
    assert generate(model, tokenizer, TALKS, SYSTEM, 6, portions) == answers
    assert said == [(2, "the CPU allocator"), (1, "the CPU allocator")]
    assert [rows for rows in small.tried if rows > 1] == [4, 2], "what did not fit is not tried again"
    assert mean_loss(model, EXAMPLES, 0, Portions(8)) == pytest.approx(losses, abs=1e-5)


def test_one_question_that_does_not_fit_is_named(tokenizer_and_model, room):
    tokenizer, model = tokenizer_and_model
    room(0)
    with pytest.raises(DoesNotFit, match="one question at a time"):
        generate(model, tokenizer, TALKS, SYSTEM, 3)


def test_another_error_is_not_hidden(tokenizer_and_model):
    with pytest.raises(IndexError):
        mean_loss(tokenizer_and_model[1], [TokenisedExample((1, 2, 10 ** 6), 1, 3, 1.0)], 0)
