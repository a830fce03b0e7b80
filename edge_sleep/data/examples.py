"""From experiences to examples: still text, without the system message (added where it is tokenised)."""
from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace

from edge_sleep.data.experience import Example, Message
from edge_sleep.data.words import content_words

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)


def conversation(prompt: str, response: str, context: Iterable[Message] = ()) -> tuple[Message, ...]:
    """What was said, ending with the answer: its words, without a thinking model's thoughts before them."""
    return (*alternating(context), {"role": "user", "content": prompt},
            {"role": "assistant", "content": _THOUGHTS.sub("", response)})


def alternating(context: Iterable[Message]) -> list[Message]:
    """Earlier turns as whole exchanges, for templates refuse anything else.

    Empty turns go, neighbours of one role become one turn, and the result begins with a prompt and ends
    with an answer; a system message stays at its head.
    """
    turns: list[Message] = []
    for message in context:
        if not message["content"].strip() or (message["role"] == "system" and turns):
            continue
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1] = {"role": message["role"], "content": f"{turns[-1]['content']}\n{message['content']}"}
        elif turns or message["role"] != "assistant":
            turns.append(message)
    if len(turns) > 1 and turns[0]["role"] == "system" and turns[1]["role"] == "assistant":
        del turns[1]
    while turns and turns[-1]["role"] == "user":
        turns.pop()
    return turns


def epochs_in_context(prompt: str, epochs: int, share: float, seed: str) -> frozenset[int]:
    """The epochs that meet an experience in its conversation; in the others it stands alone.

    share: of the epochs, in [0, 1]; fractions are drawn, so that it holds over many experiences. A prompt
    without a word of its own ("And why?") means nothing alone: every epoch, unless share is 0.
    """
    generator = random.Random(seed)
    if share > 0 and not content_words(prompt):
        return frozenset(range(epochs))
    return frozenset(generator.sample(range(epochs), int(epochs * share + generator.random())))


def normalise_weights(examples: list[Example]) -> list[Example]:
    """w_i * n / sum(w): mean 1 over the night, so salience moves attention, not the learning rate.

    All weights 1 where they sum to 0.
    """
    total = sum(example.weight for example in examples)
    if total <= 0:
        return [replace(example, weight=1.0) for example in examples]
    return [replace(example, weight=example.weight * len(examples) / total) for example in examples]
