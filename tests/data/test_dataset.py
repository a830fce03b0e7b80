"""Masks: loss on the companion's words only, and no end of turn taught by an answer that was cut."""
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.dataset import TokenisedExample, collate, epoch_order, tokenise
from edge_sleep.data.experience import Example
from edge_sleep.data.template import prompt_text
from edge_sleep.errors import ModelError
from tests import micro

SYSTEM = "You are a companion."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(micro.make_model(tmp_path_factory.mktemp("model")))


def example(prompt, answer, **changes):
    return Example(({"role": "user", "content": prompt}, {"role": "assistant", "content": answer}), 1.0, "new", "x", **changes)


def supervised_text(tokenizer, tokenised):
    return tokenizer.decode(tokenised.ids[tokenised.start:tokenised.end])


def test_only_the_answer_and_its_end_are_supervised(tokenizer):
    tokenised = tokenise(tokenizer, example("Where is the key?", "Under the mat."), SYSTEM, 512)
    assert supervised_text(tokenizer, tokenised) == "Under the mat.<|im_end|>"


def test_a_cut_answer_teaches_no_end_of_turn(tokenizer):
    tokenised = tokenise(tokenizer, example("Where is the key?", "Under the mat.", teaches_end=False), SYSTEM, 512)
    assert supervised_text(tokenizer, tokenised) == "Under the mat."


def test_an_answer_longer_than_the_limit_is_cut_and_teaches_no_end(tokenizer):
    whole = tokenise(tokenizer, example("Tell me.", "word " * 50), SYSTEM, 512)
    cut = tokenise(tokenizer, example("Tell me.", "word " * 50), SYSTEM, len(whole.ids) - 10)
    assert cut.end == len(whole.ids) - 10
    assert tokenizer.eos_token_id not in cut.ids[cut.start:cut.end]


def test_a_question_that_fills_the_limit_is_left_out(tokenizer):
    assert tokenise(tokenizer, example("word " * 200, "Yes."), SYSTEM, 64) is None


def test_the_prefix_is_what_serving_feeds_the_model(tokenizer):
    tokenised = tokenise(tokenizer, example("Where is the key?", "Under the mat."), SYSTEM, 512)
    served = prompt_text(tokenizer, [{"role": "user", "content": "Where is the key?"}], SYSTEM)
    assert list(tokenised.ids[:tokenised.start]) == tokenizer(served, add_special_tokens=False)["input_ids"]


def test_earlier_turns_are_context_and_never_learned(tokenizer):
    talk = ({"role": "user", "content": "My cat is Momo."}, {"role": "assistant", "content": "A fine name."},
            {"role": "user", "content": "Who is my cat?"}, {"role": "assistant", "content": "Momo."})
    tokenised = tokenise(tokenizer, Example(talk, 1.0, "new", "x"), SYSTEM, 512)
    assert supervised_text(tokenizer, tokenised) == "Momo.<|im_end|>"
    assert "A fine name." in tokenizer.decode(tokenised.ids[:tokenised.start])


def test_a_template_that_hides_where_the_answer_begins_is_refused(tokenizer):
    kept = tokenizer.chat_template
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper if loop.last else m['content'] }}{% endfor %}"
    try:
        with pytest.raises(ModelError, match="answered conversation differently"):
            tokenise(tokenizer, example("a b c", "d e f"), SYSTEM, 512)
    finally:
        tokenizer.chat_template = kept


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(min_size=1, max_size=80), answer=st.text(min_size=1, max_size=80))
def test_any_text_keeps_question_and_answer_apart(tokenizer, prompt, answer):
    tokenised = tokenise(tokenizer, example(prompt, answer), SYSTEM, 2048)
    if not answer.strip():
        assert tokenised is None
        return
    before = prompt_text(tokenizer, [{"role": "user", "content": prompt}], SYSTEM)
    assert list(tokenised.ids[:tokenised.start]) == tokenizer(before, add_special_tokens=False)["input_ids"]
    # Qwen2's tokenizer normalises: what it decodes is the composed form.
    assert supervised_text(tokenizer, tokenised).removesuffix("<|im_end|>") == unicodedata.normalize("NFC", answer.strip())


def test_collated_positions_predict_the_supervised_tokens(tokenizer):
    examples = [tokenise(tokenizer, example(prompt, answer), SYSTEM, 512) for prompt, answer in micro.TALK]
    batch = collate(examples, tokenizer.pad_token_id)
    for row, column, target in zip(batch["rows"], batch["columns"], batch["targets"], strict=True):
        assert batch["input_ids"][row, column + 1] == target
    assert batch["targets"].numel() == sum(item.supervised for item in examples)


@given(shapes=st.lists(st.tuples(st.integers(1, 500), st.none() | st.integers(0, 5)), min_size=1, max_size=200),
       batch=st.integers(1, 16), epoch=st.integers(0, 5))
def test_an_epoch_sees_what_is_its_own_once_in_an_order_of_its_own(shapes, batch, epoch):
    examples = [TokenisedExample((0,) * length, 0, length, 1.0, only) for length, only in shapes]
    order = epoch_order(examples, batch, 7, epoch)
    assert sorted(index for group in order for index in group) == [
        index for index, (_, only) in enumerate(shapes) if only in (None, epoch)]
    assert order == epoch_order(examples, batch, 7, epoch)
    assert max(map(len, order), default=0) <= batch
