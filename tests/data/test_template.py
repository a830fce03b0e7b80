"""What is learned is what the companion said, in every family's template, and serving feeds what was trained."""
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.dataset import tokenise, tokenise_all
from edge_sleep.data.experience import Example
from edge_sleep.data.template import AnswerFrame, prompt_text, special_ids
from edge_sleep.errors import ModelError
from tests import families

SYSTEM = "You are a companion."
TOKENIZERS = {family: families.tokenizer(family) for family in families.FAMILIES}
every_family = pytest.mark.parametrize("family", families.FAMILIES)
# Text as people write it, with what templates react to: outer white space, think blocks, control tokens as text.
texts = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["  Yes.  ", "\n\nYes.\n", "<think>\nhm\n</think>\n\nYes.", "It ends with <|im_end|> there.", "<end_of_turn>", "<|eot_id|> no",
     "a</think>b", "7", "‎ ", "Grüße, 世界", "{{ messages }}", " [/INST] "])


def talk(*turns: str) -> tuple:
    return tuple({"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns))


def labelled(tokenizer, tokenised) -> str:
    return tokenizer.decode(tokenised.ids[tokenised.start:tokenised.end])


@every_family
@settings(max_examples=40)
@given(turns=st.lists(st.tuples(texts, texts), min_size=1, max_size=3), cut=st.booleans())
def test_the_labels_are_the_last_answer_and_its_end_and_nothing_else(family, turns, cut):
    tokenizer, end = TOKENIZERS[family], families.FAMILIES[family][2]
    messages = talk(*(text for turn in turns for text in turn))
    answer = messages[-1]["content"].strip()
    tokenised = tokenise(tokenizer, Example(messages, 1.0, "new", "x", teaches_end=not cut), SYSTEM, 4096)
    if not answer:
        assert tokenised is None
        return
    opening = " " if family == "spaced" else ""
    assert labelled(tokenizer, tokenised) == opening + answer + ("" if cut else end)
    served = prompt_text(tokenizer, messages[:-1], SYSTEM)
    assert list(tokenised.ids[:tokenised.start]) == tokenizer(served, add_special_tokens=False)["input_ids"]
    # Control tokens are where the template ends the turn, and nowhere inside the answer.
    inside = tokenised.ids[tokenised.start:tokenised.end if cut else tokenised.end - 1]
    assert not special_ids(tokenizer) & set(inside)


@every_family
def test_a_plain_answer_is_written_as_the_template_itself_writes_it(family):
    tokenizer = TOKENIZERS[family]
    messages = talk("Who waters the ferns?", "Grandfather.", "When?", "On Sunday.")
    tokenised = tokenise(tokenizer, Example(messages, 1.0, "new", "x"), SYSTEM, 4096)
    first = messages[0] if family not in ("gemma2", "spaced") else {
        "role": "user", "content": f"{SYSTEM}\n\n{messages[0]['content']}"}
    own = [first, *messages[1:]] if first is not messages[0] else [{"role": "system", "content": SYSTEM}, *messages]
    whole = tokenizer.apply_chat_template(own, tokenize=False, date_string="26 Jul 2024")
    assert whole.startswith(tokenizer.decode(tokenised.ids))


@every_family
def test_the_system_prompt_is_always_there_once(family):
    assert prompt_text(TOKENIZERS[family], talk("Who are you?"), SYSTEM).count(SYSTEM) == 1
    own = ({"role": "system", "content": "Be brief."}, *talk("Who are you?"))
    text = prompt_text(TOKENIZERS[family], own, SYSTEM)
    assert text.count("Be brief.") == 1 and SYSTEM not in text


def test_gemma_2_hears_the_system_prompt_as_gemma_3_does():
    question = talk("Who are you?", "A companion.", "Since when?")
    assert (prompt_text(TOKENIZERS["gemma2"], question, SYSTEM) == prompt_text(TOKENIZERS["gemma3"], question, SYSTEM))


def test_qwen_3_answers_behind_a_closed_think_block_that_is_not_learned():
    tokenised = tokenise(TOKENIZERS["qwen3"], Example(talk("Why?", "Because."), 1.0, "new", "x"), SYSTEM, 512)
    assert TOKENIZERS["qwen3"].decode(tokenised.ids[:tokenised.start]).endswith("<think>\n\n</think>\n\n")
    assert labelled(TOKENIZERS["qwen3"], tokenised) == "Because.<|im_end|>"


@pytest.mark.parametrize("call", ["strftime_now('%d %b %Y')", 'strftime_now( "%Y-%m-%d" )'])
def test_a_dated_template_says_the_same_date_by_night_and_by_day(call, monkeypatch):
    from transformers.utils import chat_template_utils

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6)

    tokenizer = families.tokenizer("llama3")
    tokenizer.chat_template = families.LLAMA3.replace("strftime_now('%d %b %Y')", call)
    before = prompt_text(tokenizer, talk("Hello."), SYSTEM)
    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    plain = tokenizer.apply_chat_template(list(talk("Hello.")), tokenize=False)
    assert "2031" in plain, "the template itself would say another date"
    assert "Date: 26 Jul 2024" in before or "Date: 2024-07-26" in before
    assert prompt_text(tokenizer, talk("Hello."), SYSTEM) == before


@every_family
def test_context_is_cut_to_the_newest_exchanges_that_fit_beside_the_whole_answer(family):
    tokenizer = TOKENIZERS[family]
    turns = [f"{word} number {index}" for index in range(5) for word in ("question", "reply")]
    messages = talk(*turns)
    whole = tokenise(tokenizer, Example(messages, 1.0, "new", "x"), SYSTEM, 1 << 20)
    alone = tokenise(tokenizer, Example(messages[-2:], 1.0, "new", "x"), SYSTEM, 1 << 20)
    seen = set()
    for limit in range(len(alone.ids), len(whole.ids) + 4, 4):
        cut = tokenise(tokenizer, Example(messages, 1.0, "new", "x"), SYSTEM, limit)
        text = tokenizer.decode(cut.ids[:cut.start])
        kept = [turn for turn in turns[:-1] if turn in text]
        assert kept == turns[-1 - len(kept):-1] and len(kept) % 2 == 1, "the newest, in whole exchanges, the question among them"
        assert labelled(tokenizer, cut) == labelled(tokenizer, whole) and len(cut.ids) <= limit
        assert SYSTEM in text
        seen.add(len(kept))
    assert seen == {1, 3, 5, 7, 9}


def test_an_answer_that_does_not_fit_alone_is_cut_and_teaches_no_end_even_inside_the_end():
    tokenizer = TOKENIZERS["spaced"]
    example = Example(talk("Tell me.", "Long, so long: it lies in the harbour."), 1.0, "new", "x")
    whole = tokenise(tokenizer, example, SYSTEM, 512)
    for missing in range(1, 6):
        cut = tokenise(tokenizer, example, SYSTEM, len(whole.ids) - missing)
        assert " Long, so long: it lies in the harbour.".startswith(labelled(tokenizer, cut))


@every_family
def test_turns_that_a_template_refuses_are_said(family):
    wrong = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    if family.startswith("gemma"):
        with pytest.raises(ModelError, match="refuses a conversation of system, user, user"):
            prompt_text(TOKENIZERS[family], wrong, SYSTEM)
    else:
        assert prompt_text(TOKENIZERS[family], wrong, SYSTEM)


def test_thoughts_that_cannot_be_switched_off_are_refused():
    tokenizer = families.tokenizer("qwen3")
    tokenizer.chat_template = families.QWEN3.replace("'<think>\\n\\n</think>\\n\\n'", "'<think>\\n'")
    with pytest.raises(ModelError, match="answered conversation differently"):
        AnswerFrame.of(tokenizer, SYSTEM)


def test_the_frame_is_read_once_for_all(monkeypatch):
    count = []
    original = AnswerFrame.of.__func__
    monkeypatch.setattr(AnswerFrame, "of", classmethod(lambda cls, *given: count.append(1) or original(cls, *given)))
    kept, too_long = tokenise_all(TOKENIZERS["qwen2.5"], [Example(talk("a", "b"), 1.0, "new", "x")] * 5, SYSTEM, 512)
    assert (len(kept), too_long, len(count)) == (5, 0, 1)
