"""The companion speaks the prompting side: in one answer, or in most answers of a session."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.quality.history import History
from edge_sleep.data.words import normalised, sentences, words

_MOSTLY = 0.5
_SESSION = 4                              # exchanges a session needs before its questions are a pattern
_CLOSING = "\"'”’)]*_"
_PROMPT_WORDS = 4                         # shorter sentences are anybody's


class Switches(Protocol):
    """What of the `quality` section is needed here."""

    @property
    def enabled(self) -> bool: ...
    @property
    def switched_off(self) -> Collection[str]: ...


def _asks(sentence: str) -> bool:
    return sentence.rstrip(_CLOSING).endswith(("?", "？"))


def role_inversion(exchange: Exchange, history: History) -> Finding | None:
    """Its sentences are prompts it was given, or mostly questions."""
    said = sentences(exchange.response)
    if not said:
        return None
    asked_before = history.prompts_among([sentence for sentence in said if len(words(sentence)) >= _PROMPT_WORDS])
    if asked_before:
        known = [sentence for sentence in said if sentence in asked_before
                 and normalised(sentence) not in normalised(exchange.prompt)]
        if len(known) > len(said) * _MOSTLY:
            return Finding(QuarantineReason.ROLE_INVERSION, f"answers with a prompt it was given: {quote(known[0])}")
    questions = sum(map(_asks, said))
    asked = exchange.prompt.rstrip().endswith(("?", "？"))
    if questions >= (5 if asked else 3) and questions > len(said) * (0.75 if asked else _MOSTLY):
        return Finding(QuarantineReason.ROLE_INVERSION, f"{questions} of {len(said)} sentences are questions")
    return None


def only_asks(response: str) -> bool:
    """Whether every sentence is a question."""
    said = sentences(response)
    return bool(said) and all(map(_asks, said))


def inverted(session: Sequence[Exchange], settings: Switches) -> Finding | None:
    """A session in which most answers only ask: one may be a clarifying question, most of them are the other side's lines."""
    if (not settings.enabled or len(session) < _SESSION
            or QuarantineReason.ROLE_INVERSION.value in settings.switched_off):
        return None
    asking = sum(only_asks(exchange.response) for exchange in session)
    if asking > len(session) * _MOSTLY:
        return Finding(QuarantineReason.ROLE_INVERSION, f"{asking} of {len(session)} answers of this session only ask")
    return None
