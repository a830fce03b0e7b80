"""What must not be learned from, whatever its salience: each refusal with its reason and its evidence.

Pure functions of an exchange, what was seen before it, and the settings. Nothing is deleted: the
buffer keeps a refused exchange in quarantine, and its owner can release it.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality import belonging, confabulation, corpus, cut, inversion, loops, manner, repetition
from edge_sleep.data.quality.finding import COLLAPSES, Finding, QuarantineReason, quote
from edge_sleep.data.quality.history import History
from edge_sleep.data.words import words

_SESSION = 4                              # exchanges a session needs before it can be condemned as a whole


class Settings(Protocol):
    """The `quality` section of the configuration."""

    @property
    def enabled(self) -> bool: ...
    @property
    def switched_off(self) -> Collection[str]: ...
    @property
    def max_questions(self) -> int: ...
    @property
    def repeat_ratio(self) -> float: ...
    @property
    def min_words(self) -> int: ...
    @property
    def echo(self) -> float: ...
    @property
    def copied(self) -> float: ...
    @property
    def mosaic(self) -> float: ...
    @property
    def known_corpora(self) -> tuple[str, ...]: ...
    @property
    def corpus_overlap(self) -> float: ...
    @property
    def default_points(self) -> int: ...
    @property
    def unknown_history(self) -> float: ...
    @property
    def foreign_share(self) -> float: ...
    @property
    def code_share(self) -> float: ...
    @property
    def collapsed_session(self) -> float: ...


def _findings(exchange: Exchange, history: History, settings: Settings) -> Iterator[Finding | None]:
    """Every check, the surest first, each made when it is asked for."""
    yield loops.placeholder(exchange)
    yield loops.loop(exchange, settings.repeat_ratio)
    yield loops.flood(exchange, settings.max_questions)
    yield inversion.role_inversion(exchange, history)
    yield loops.prompt_echo(exchange, settings.echo)
    yield cut.truncated(exchange)
    yield corpus.from_corpus(exchange, corpus.known(tuple(settings.known_corpora)), settings.corpus_overlap)
    yield _repeated(exchange.prompt, exchange.response, history, settings)
    yield belonging.foreign_language(exchange, settings.foreign_share)
    yield belonging.unasked_code(exchange, settings.code_share)
    yield manner.educational_default(exchange, settings.default_points)
    yield confabulation.confabulated_history(exchange, history, settings.unknown_history)


def assess(exchange: Exchange, history: History, settings: Settings) -> Finding | None:
    """The first reason not to learn from this exchange, or None. Empty answers are refused even when disabled."""
    tokens = words(exchange.response)
    if len(tokens) < (settings.min_words if settings.enabled else 1):
        return Finding(QuarantineReason.EMPTY, f"{len(tokens)} word(s): {quote(exchange.response)}")
    if not settings.enabled:
        return None
    return next((finding for finding in _findings(exchange, history, settings)
                 if finding is not None and finding.reason.value not in settings.switched_off), None)


def again(prompt: str, response: str, number: int, history: History, settings: Settings) -> Finding | None:
    """The verdict with hindsight on the exchange stored under `number`: later answers may show what it was."""
    if not settings.enabled:
        return None
    return _repeated(prompt, response, history, settings, number)


def _repeated(prompt: str, response: str, history: History, settings: Settings, number: int | None = None) -> Finding | None:
    off = settings.switched_off
    return repetition.repeated(
        prompt, response, history, hindsight_of=number,
        copied=1.0 if QuarantineReason.REPETITION.value in off else settings.copied,
        mosaic=1.0 if QuarantineReason.REGURGITATION.value in off else settings.mosaic)


def collapsed(reasons: Sequence[str | None], settings: Settings) -> Finding | None:
    """What is wrong with a session's other answers, given each answer's reason of refusal (None: none).

    The model that gave them was broken: the few that show no sign of it are not worth learning.
    """
    if (not settings.enabled or len(reasons) < _SESSION
            or QuarantineReason.COLLAPSED_SESSION.value in settings.switched_off):
        return None
    broken = sum(reason in COLLAPSES for reason in reasons)
    if broken < settings.collapsed_session * len(reasons):
        return None
    return Finding(QuarantineReason.COLLAPSED_SESSION, f"{broken} of {len(reasons)} answers of this session are collapses")
