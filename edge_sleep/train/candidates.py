"""The variants of tonight's settings that a night may train, and how many of them fit its time.

A pure function of the settings, their number and whether there is a parent: a night that was cut finds the same ones.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_sleep.config import Config

_LONGER, _SHORTER, _MORE = 1.5, 0.5, 1.5      # times the epochs, times the epochs, times the whole lesson


@dataclass(frozen=True)
class Variant:
    """One way to train tonight. settings: what differs from the configuration, as section.key; work: relative time."""

    name: str
    reason: str
    settings: dict[str, float]
    config: Config
    work: float


def variants(config: Config, n: int, has_parent: bool) -> list[Variant]:
    """The first `n` of the table that differ from each other; the first is always the configuration itself.

    has_parent: an adapter that is trained on keeps the rank it was made with.
    """
    made: list[Variant] = []
    for name, changes, reason in _table(config, has_parent):
        if not any(changes == other.settings for other in made):
            made.append(Variant(name, reason, changes, _changed(config, changes), _work(config, changes)))
    return made[:n]


def _table(config: Config, has_parent: bool) -> list[tuple[str, dict[str, Any], str]]:
    """Every variant in the order of what it is most likely to change for the better (LOG.md, "what a night should rehearse")."""
    rate, epochs, rank, alpha = config.train.learning_rate, config.train.epochs, config.lora.rank, config.lora.alpha
    share, least = config.replay.share, config.replay.least
    faster, slower = ({"train.learning_rate": factor * rate} for factor in (2.0, 0.5))
    longer = {"train.epochs": math.ceil(_LONGER * epochs)}
    shorter = {"train.epochs": math.ceil(_SHORTER * epochs)} if epochs > 1 else {}
    # Replay is n * share / (1 - share): this share makes the whole night `_MORE` times as long.
    rehearsed = {"replay.share": 1 - (1 - share) / _MORE, "replay.least": math.ceil(_MORE * least)} if share else {}
    wider = {} if has_parent else {"lora.rank": 2 * rank, "lora.alpha": 2 * alpha}
    narrower = {"lora.rank": rank // 2, "lora.alpha": alpha // 2} if not has_parent and rank > 1 and alpha > 1 else {}
    return [
        ("as configured", {}, "what every other one has to beat"),
        ("twice the rate", faster, "learns more where the configured rate is timid for this base"),
        ("half the rate", slower, "forgets less where the configured rate is bold for this base"),
        ("longer", longer, "half as many epochs again: every fact in more wordings, among other rehearsals"),
        ("more rehearsal", rehearsed, "keeps more of what it could do beside the same lesson"),
        ("wider", wider, "twice the rank, for a day of many facts; alpha follows, so the scale stays"),
        ("shorter", shorter, "half the epochs: stops before a small lesson is known by rote"),
        ("narrower", narrower, "half the rank: less that can be overwritten; alpha follows"),
        ("slow and long", slower | longer, "small steps, more of them"),
        ("fast and short", faster | shorter, "large steps, fewer of them: ends before it wanders"),
        ("slow, more rehearsal", slower | rehearsed, "the most careful"),
        ("fast and long", faster | longer, "the boldest"),
        ("slow and short", slower | shorter, "the smallest change"),
        ("somewhat faster", {"train.learning_rate": 1.4 * rate}, "half of the way to twice the rate"),
        ("somewhat slower", {"train.learning_rate": 0.7 * rate}, "half of the way to half the rate"),
    ]


def _changed(config: Config, changes: dict[str, Any]) -> Config:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)
                                     for section, values in sections.items()})


def _work(config: Config, changes: dict[str, Any]) -> float:
    """Tokens of the variant as a multiple of the configuration's."""
    longer = changes.get("train.epochs", config.train.epochs) / config.train.epochs
    return longer * (1 - config.replay.share) / (1 - changes.get("replay.share", config.replay.share))


def cost(variant: Variant, load_seconds: float, training_seconds: float, select_seconds: float) -> float:
    """Seconds one candidate takes, from what the configured one took: loading twice, training, its questions."""
    return 2 * load_seconds + variant.work * training_seconds + select_seconds


def fitting(costs: Sequence[float], seconds: float) -> list[int]:
    """Indices of the candidates that fit into `seconds`, in order, with a tenth to spare; a cheaper one may follow a dear one."""
    chosen: list[int] = []
    for index, needed in enumerate(costs):
        if 1.1 * needed <= seconds:
            chosen.append(index)
            seconds -= needed
    return chosen
