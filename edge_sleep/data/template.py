"""The chat template as serving uses it, whatever family wrote it: one text for training, judging and serving.

Families differ in what they do to a conversation. Gemma 2 refuses a system role; Qwen3 writes a think block
before an answer; Llama 3 writes today's date and strips white space; Phi-3 ends a conversation once more.
So the text before an answer is always the generation prompt itself, and what follows an answer is read off
the template once (`AnswerFrame`): nothing that a template does to an answer can reach the labels.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from edge_sleep.data.experience import Message
from edge_sleep.errors import ModelError

# A template that writes today's date gets this one (Llama 3's own fallback) by night and by day: with the
# real date no served prompt would be one that was trained, and a night cut at midnight would not resume.
_DAY = datetime(2024, 7, 26)
_TODAY = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>.*?)(?P=quote)\s*\)""")
_PROBE = "the-answer-of-a-probe"


def with_system(messages: Sequence[Message], system_prompt: str) -> list[Message]:
    """The conversation under the one system prompt, unless it brings its own."""
    if messages and messages[0]["role"] == "system":
        return list(messages)
    return [{"role": "system", "content": system_prompt}, *messages]


def prompt_text(tokenizer: Any, messages: Sequence[Message], system_prompt: str) -> str:
    """What serving feeds the model before it answers; training and judging use the same text.

    Raises ModelError where the template refuses the conversation.
    """
    return _text(tokenizer, with_system(messages, system_prompt), generation_prompt=True)


def _text(tokenizer: Any, messages: list[Message], generation_prompt: bool) -> str:
    """Rendered with the system words inside the first user turn where the template has no place for them."""
    from jinja2 import TemplateError

    try:
        text = _render(tokenizer, messages, generation_prompt)
        if messages[0]["content"].strip() in text:
            return text
    except TemplateError:
        pass
    try:
        return _render(tokenizer, _folded(messages), generation_prompt)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ModelError(f"this chat template refuses a conversation of {roles}: {error}",
                         "turns must alternate between user and assistant for most templates") from error


def _render(tokenizer: Any, messages: list[Message], generation_prompt: bool) -> str:
    # Thinking is off: nobody taught the companion's thoughts, only its words (Qwen3 closes the block at once).
    return tokenizer.apply_chat_template(messages, chat_template=dated(tokenizer.get_chat_template()), tokenize=False,
                                         add_generation_prompt=generation_prompt, enable_thinking=False)


@cache
def dated(template: str) -> str:
    """The template with its calls for today's date answered by one fixed day."""
    return _TODAY.sub(lambda call: repr(_DAY.strftime(call["format"])), template)


def _folded(messages: list[Message]) -> list[Message]:
    """The system words at the head of the first user turn, a blank line between, as Gemma 3 does it itself."""
    system, *rest = messages
    place = next((index for index, message in enumerate(rest) if message["role"] == "user"), None)
    if place is None or not system["content"].strip():
        return rest
    user: Message = {"role": "user", "content": f"{system['content']}\n\n{rest[place]['content']}"}
    return [*rest[:place], user, *rest[place + 1:]]


@dataclass(frozen=True)
class AnswerFrame:
    """What a template writes around an answer: `before` (white space at most) and the ids that `end` the turn.

    `end` stops at the first special token, which is where serving stops; empty where the template ends a
    turn without one, and then no end can be taught.
    """

    before: str
    end: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, system_prompt: str) -> AnswerFrame:
        """Raises ModelError where the template writes an answer otherwise than behind its own prompt."""
        asked: list[Message] = [{"role": "user", "content": "A question."}]
        prefix = prompt_text(tokenizer, asked, system_prompt)
        answered = with_system([*asked, {"role": "assistant", "content": _PROBE}], system_prompt)
        whole = _text(tokenizer, answered, generation_prompt=False)
        before, found, after = whole[len(prefix):].partition(_PROBE)
        if not (whole.startswith(prefix) and found) or before.strip():
            raise ModelError("this chat template writes an answered conversation differently from the prompt it "
                             "answers, so loss cannot be limited to the answer", "use a template with a generation prompt")
        ids = tokenizer(after, add_special_tokens=False)["input_ids"]
        special = special_ids(tokenizer)
        first = next((index for index, token in enumerate(ids) if token in special), None)
        return cls(before, () if first is None else tuple(ids[:first + 1]))


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Control tokens: the named ones, and added ones marked special (Gemma names no `<end_of_turn>`)."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))
