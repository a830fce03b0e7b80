"""From words to tokens: the serving template, and labels on the companion's words only."""
from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_sleep.data import packing
from edge_sleep.data.experience import Example, Message
from edge_sleep.data.template import AnswerFrame, prompt_text
from edge_sleep.errors import ModelError


@dataclass(frozen=True)
class TokenisedExample:
    """ids [T]; the tokens from `start` to `end` (exclusive) are supervised, each with `weight`."""

    ids: tuple[int, ...]
    start: int
    end: int
    weight: float
    epoch: int | None = None

    @property
    def supervised(self) -> int:
        return self.end - self.start


def tokenise(tokenizer: Any, example: Example, system_prompt: str, max_tokens: int,
             frame: AnswerFrame | None = None) -> TokenisedExample | None:
    """One example as token ids with its supervised span, or None where the question alone is too long.

    The ids are the prompt that serving would feed, then the last assistant message and the tokens that end
    its turn; only these are supervised. The end is not supervised where the answer was cut, before or here:
    a truncated answer never teaches an end of turn. Earlier turns are cut to the newest that fit beside the
    whole answer, in whole exchanges. frame: the template's, where the caller has it already.
    Raises ModelError where the template cannot tell question from answer.
    """
    *before, answer = example.messages
    if answer["role"] != "assistant":
        raise ModelError("an example must end with the companion's words")
    frame = frame or AnswerFrame.of(tokenizer, system_prompt)
    # Control tokens that somebody wrote out as text stay text: an answer cannot end its own turn early.
    answer_ids = tokenizer(frame.before + answer["content"].strip(), add_special_tokens=False,
                           split_special_tokens=True)["input_ids"]
    taught = [*answer_ids, *frame.end] if example.teaches_end else answer_ids
    prefix_ids = _newest_that_fit(tokenizer, before, system_prompt, max_tokens - len(taught))
    ids = (prefix_ids + taught)[:max_tokens]
    whole = len(ids) == len(prefix_ids) + len(taught)
    if not answer["content"].strip() or len(ids) < len(prefix_ids) + (1 if whole else 2):
        return None
    if not whole and example.teaches_end:      # the cut may fall inside the tokens that end the turn
        ids = ids[:len(prefix_ids) + len(answer_ids)]
    return TokenisedExample(tuple(ids), len(prefix_ids), len(ids), example.weight, example.epoch)


def _newest_that_fit(tokenizer: Any, turns: Sequence[Message], system_prompt: str, room: int) -> list[int]:
    """Ids of the prompt with as many of the newest turns as fit into `room` tokens; at least the question."""
    own_system = [message for message in turns[:1] if message["role"] == "system"]
    starts = [index for index, message in enumerate(turns) if message["role"] == "user"] or [len(own_system)]

    @cache
    def ids_from(start: int) -> list[int]:
        text = prompt_text(tokenizer, [*own_system, *turns[start:]], system_prompt)
        return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    return ids_from(starts[bisect_left(starts[:-1], True, key=lambda start: len(ids_from(start)) <= room)])


def tokenise_all(tokenizer: Any, examples: Iterable[Example], system_prompt: str,
                 max_tokens: int) -> tuple[list[TokenisedExample], int]:
    """All examples that fit, and how many were too long to fit."""
    frame = AnswerFrame.of(tokenizer, system_prompt)
    tokenised = [tokenise(tokenizer, example, system_prompt, max_tokens, frame) for example in examples]
    kept = [example for example in tokenised if example is not None]
    return kept, len(tokenised) - len(kept)


def epoch_order(examples: Sequence[TokenisedExample], micro_batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of one epoch's micro-batches: shuffled, near lengths together, a pure function of its arguments."""
    order = [index for index, example in enumerate(examples) if example.epoch in (None, epoch)]
    shuffler = random.Random(f"{seed}:{epoch}")
    shuffler.shuffle(order)
    pool = micro_batch * 8
    batches = []
    for start in range(0, len(order), pool):
        near = sorted(order[start:start + pool], key=lambda index: len(examples[index].ids))
        batches += [near[first:first + micro_batch] for first in range(0, len(near), micro_batch)]
    shuffler.shuffle(batches)
    return batches


def collate(examples: Sequence[TokenisedExample], pad: int, packed: bool = False) -> dict[str, Any]:
    """Right-padded tensors of a micro-batch of N supervised tokens in B rows of T.

    input_ids [B, T] int64; rows, columns [N]: the position whose hidden state predicts each supervised token;
    targets [N] int64; weights [N] float32. Unpacked, a row is an example, and attention_mask [B, T] int64 is 0
    on padding. packed: short examples share rows (`packing.rows`); position_ids [B, T] int64 restart at each
    example and at the padding after the last, and there is no attention_mask: the restarts make it.
    """
    import torch

    layout = packing.rows([len(example.ids) for example in examples]) if packed else [[place] for place in range(len(examples))]
    longest = packing.width(layout, [len(example.ids) for example in examples])
    input_ids = torch.full((len(layout), longest), pad, dtype=torch.long)
    positions = torch.zeros((len(layout), longest), dtype=torch.long)
    mask = torch.zeros((len(layout), longest), dtype=torch.long)
    rows, columns, targets, weights = [], [], [], []
    for row, members in enumerate(layout):
        at = 0
        for example in (examples[place] for place in members):
            end = at + len(example.ids)
            input_ids[row, at:end] = torch.tensor(example.ids)
            positions[row, at:end] = torch.arange(len(example.ids))
            mask[row, at:end] = 1
            for place in range(example.start, example.end):
                rows.append(row)
                columns.append(at + place - 1)
                targets.append(example.ids[place])
                weights.append(example.weight)
            at = end
        positions[row, at:] = torch.arange(longest - at)
    # One example to a row is what a padding mask says with less work.
    attention = {"attention_mask": mask} if len(layout) == len(examples) else {"position_ids": positions}
    return {"input_ids": input_ids, **attention, "rows": torch.tensor(rows), "columns": torch.tensor(columns),
            "targets": torch.tensor(targets), "weights": torch.tensor(weights, dtype=torch.float32)}
