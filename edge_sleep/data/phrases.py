"""The phrase lists of resources/phrases.yaml, matched on whole words."""
from __future__ import annotations

from functools import cache
from pathlib import Path

from edge_sleep.config import read_yaml
from edge_sleep.data.words import words

RESOURCES = Path(__file__).parent.parent / "resources"


@cache
def phrases(name: str) -> frozenset[tuple[str, ...]]:
    return frozenset(words(str(phrase)) for phrase in read_yaml(RESOURCES / "phrases.yaml")[name])


@cache
def _by_first_word(name: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    firsts: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases(name):
        firsts.setdefault(phrase[0], []).append(phrase)
    return {word: tuple(found) for word, found in firsts.items()}


def found(name: str, tokens: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Which phrases of the list occur in the words."""
    starts = _by_first_word(name)
    if starts.keys().isdisjoint(tokens):
        return set()
    return {phrase for place, token in enumerate(tokens) if token in starts
            for phrase in starts[token] if tokens[place:place + len(phrase)] == phrase}


def hits(name: str, tokens: tuple[str, ...]) -> int:
    """How many different phrases of the list occur in the words: repeating one adds nothing."""
    return len(found(name, tokens))


@cache
def function_words() -> dict[str, frozenset[str]]:
    """Language to its function words (resources/function_words.txt)."""
    lines = (RESOURCES / "function_words.txt").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: frozenset(listed.split()) for name, _, listed in named}


def saturating(count: int, half: float = 1.0) -> float:
    """1 - 2^(-count/half) in [0, 1): the first hit counts most, no number of hits runs away."""
    return 1.0 - 2.0 ** (-count / half)
