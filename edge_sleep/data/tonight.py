"""Tonight's lesson: what is new, reworded and weighed, with what must be rehearsed so that it is not lost."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edge_sleep.config import Config
from edge_sleep.data import examples, quality, replay
from edge_sleep.data.augment import puzzle
from edge_sleep.data.augment.rewording import Wording, reworded
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Example, Exchange, Experience, Message, exchange_id
from edge_sleep.data.select import select
from edge_sleep.data.words import near, topic
from edge_sleep.system.files import canonical_json


@dataclass(frozen=True)
class Tonight:
    new: list[Experience]
    held_out: list[Experience]
    examples: list[Example]


def choose(buffer: Buffer, config: Config) -> tuple[list[Experience], list[Experience], list[Experience]]:
    """(new, earlier, held out) experiences by the configuration of `data`."""
    chosen = select(buffer, max_selected=config.data.max_selected, per_prompt=config.data.per_prompt,
                    held_out_share=config.data.held_out, seed=config.train.seed)
    return chosen.new, chosen.earlier, chosen.held_out


def compose(new: Sequence[Experience], earlier: Sequence[Experience], config: Config, *, base_folder: Path,
            parent: str | None, own_words: Mapping[str, Sequence[Wording]] | None = None) -> list[Example]:
    """The examples of one night, epoch by epoch, a pure function of its arguments.

    Each epoch sees every new experience once, in another of its wordings or in the conversation it comes from
    (`data.context`), among other rehearsals: variety costs no time. Every night draws anew (its parent and its
    words are the seed), and the same night tried again draws the same.
    own_words: what the model itself made of some prompts (`augment.paraphrase`), by experience id.
    """
    seed = int.from_bytes(hashlib.sha256(canonical_json(
        [config.train.seed, parent, [item.id for item in new]])).digest()[:4], "big")
    ways = tellings([*new, *earlier], config.data.augment, seed, own_words or {}, config.data.moves)
    talks = {item.id: sound(item.context, config.quality) for item in [*new, *earlier]}
    in_context = {item.id: examples.epochs_in_context(item.prompt, config.train.epochs, config.data.context,
                                                      f"{seed}:{item.id}") if talks[item.id] else frozenset()
                  for item in [*new, *earlier]}

    def told(item: Experience, epoch: int, weight: float, origin: Literal["new", "earlier"]) -> Example:
        within = epoch in in_context[item.id]
        alone = sum(other not in in_context[item.id] for other in range(epoch))
        way = ways[item.id][0 if within else alone % len(ways[item.id])]
        return Example(examples.conversation(way.prompt, way.response, talks[item.id] if within else ()), weight, origin,
                       item.id, not item.trimmed, epoch, way.move)

    general = rehearsable(base_folder, [*new, *earlier])
    lesson: list[Example] = []
    for epoch in range(config.train.epochs):
        made = examples.normalise_weights([told(item, epoch, item.salience["total"], "new") for item in new])
        rehearsed = [told(item, epoch, 1.0, "earlier") for item in earlier]
        mixed = replay.mix(made, rehearsed, general, share=config.replay.share, earlier_share=config.replay.earlier,
                           seed=seed + epoch, least=config.replay.least, night_of=replay.taught_in(earlier))
        lesson += [replace(example, epoch=epoch) for example in mixed]
    return lesson


def sound(context: Sequence[Message], settings: quality.Settings) -> tuple[Message, ...]:
    """The newest turns without an answer that the quality gate refuses: nothing is learned behind a collapse."""
    turns = examples.alternating(context)
    kept: list[Message] = []
    while len(turns) >= 2 and turns[-2]["role"] == "user":
        asked, answered = turns[-2:]
        if quality.assess(Exchange(asked["content"], answered["content"]), quality.Unseen(), settings) is not None:
            break
        kept[:0] = turns[-2:]
        del turns[-2:]
    return tuple(kept)


@dataclass(frozen=True)
class Telling:
    """One way to teach an experience; move: what made it, None for the way it was said."""

    prompt: str
    response: str
    move: str | None = None


def tellings(items: Sequence[Experience], n: int, seed: int,
             own_words: Mapping[str, Sequence[Wording]], moves: Sequence[str] = ()) -> dict[str, list[Telling]]:
    """By experience id: as it was said, then the model's own wordings, then at most `n` others; no exchange twice.

    Grids in question and answer make it a puzzle: both are transformed alike, and nothing is reworded.
    """
    ways = {item.id: [Telling(item.prompt, item.response)] for item in items}
    seen = {exchange_id(item.prompt, item.response) for item in items}
    for item in items:
        others: list[Telling]
        if puzzle.is_puzzle(item.prompt, item.response):
            others = [Telling(made.prompt, made.response, made.move)
                      for made in puzzle.transformed(item.prompt, item.response, n, seed)]
        else:
            others = [Telling(wording.text, item.response, wording.move)
                      for wording in [*own_words.get(item.id, ()), *reworded(item.prompt, n, seed, moves)]]
        for way in others:
            if (identity := exchange_id(way.prompt, way.response)) not in seen:
                seen.add(identity)
                ways[item.id].append(way)
    return ways


def rehearsable(base_folder: Path, taught: Sequence[Experience]) -> list[replay.ReplayItem]:
    """The base's replay, less every "I don't know" about something that was taught: rehearsing that would unteach it."""
    about = [topic(item.prompt) for item in taught]
    return [item for item in replay.load(base_folder)
            if item.kind != "unknown" or not near(item.messages[-2]["content"], about)]
