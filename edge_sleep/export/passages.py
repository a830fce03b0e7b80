"""The text on which an artefact is compared with the judged model: what nobody trains on, and what this home talked about."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text
from edge_sleep.evaluate import probes
from edge_sleep.model.base import BaseSource
from edge_sleep.system.home import Home

LONGEST = 128                              # tokens of a passage: its logits are there whole, for three models


def of(home: Home, place: BaseSource, tokenizer: Any, system_prompt: str, count: int, salt: str) -> list[list[int]]:
    """At most `count` passages as token ids, drawn by the salt: half of them questions that no night trains on, with their
    answers, half the home's newest experiences, where an adapter speaks most differently from its base."""
    asked = [(probe.messages, probe.expect[0]) for kind in ("retention", "unknowns") for probe in probes.pool(kind, place.folder)
             if probe.expect]
    held_out = sorted(asked, key=lambda item: _draw(salt, item[0][-1]["content"]))
    told: list[tuple[Sequence[Message], str]] = []
    if home.experiences.is_file():
        with Buffer(home.experiences) as buffer:
            told = [((*experience.context, {"role": "user", "content": experience.prompt}), experience.response)
                    for experience in buffer.items(status="kept")[-(count // 2):]] if count > 1 else []
    found = [_ids(tokenizer, system_prompt, messages, answer) for messages, answer in [*told, *held_out[:count - len(told)]]]
    return [ids for ids in found if len(ids) > 1]


def _ids(tokenizer: Any, system_prompt: str, messages: Sequence[Message], answer: str) -> list[int]:
    text = prompt_text(tokenizer, messages, system_prompt) + answer
    return tokenizer(text, add_special_tokens=False)["input_ids"][-LONGEST:]


def _draw(salt: str, text: str) -> bytes:
    return hashlib.sha256(f"{salt}:{text}".encode()).digest()
