"""Upstream's text scorer as a baseline, written anew from its description, faults included.

Five heuristics by substrings and word counts, plain mean, prompt unused. It remembers one process only.
"""
from __future__ import annotations

_FEELING = ("feel", "sense", "realize", "understand", "appreciate", "curious", "interesting", "important",
            "fascinating", "profound")
_PARTNERSHIP = ("we", "us", "our", "together", "collaborate", "partnership")
_SPECIFIC = ("specifically", "precisely", "exactly", "particular")
_HEDGES = ("might", "possibly", "perhaps", "unclear", "uncertain", "as an ai")
_UNCERTAIN = ("uncertain", "unclear", "not sure", "don't know", "can't verify")
_CORRECTION = ("actually", "rather", "instead", "correction", "mistake")
_META = ("realize", "notice", "recognize", "understand")


class UpstreamScorer:
    """Scores answers one after another; a new one starts cold, as each session did upstream."""

    def __init__(self) -> None:
        self.vocabulary: set[str] = set()
        self.recent: list[str] = []

    def score(self, response: str) -> float:
        """The mean of the five dimensions, in [0, 1]."""
        text = response.lower()
        words = text.split()
        total = (self._surprise(text) + self._novelty(set(words)) + self._arousal(text, len(words))
                 + _reward(text) + _conflict(text)) / 5
        self.vocabulary.update(words)
        self.recent = [*self.recent, text][-5:]
        return total

    def _surprise(self, text: str) -> float:
        parts = [part.strip() for part in text.split(".") if part.strip()]
        if not self.recent or not parts:
            return 0.5
        return 1 - sum(any(part in earlier for earlier in self.recent) for part in parts) / len(parts)

    def _novelty(self, words: set[str]) -> float:
        if not self.vocabulary or not words:
            return 0.5
        return min(3 * len(words - self.vocabulary) / len(words), 1.0)

    def _arousal(self, text: str, words: int) -> float:
        return (max(0.3, min(words / 50, 1.0)) + min(text.count("?") / 2, 1.0) + min(_hits(text, _FEELING) / 3, 1.0)) / 3


def _hits(text: str, parts: tuple[str, ...]) -> int:
    return sum(part in text for part in parts)


def _reward(text: str) -> float:
    value = 0.3 + 0.7 * min(_hits(text, _PARTNERSHIP) / 2, 1.0)
    value = min(value + 0.3 * min(_hits(text, _SPECIFIC) / 2, 1.0), 1.0)
    return max(0.0, value - 0.6 * min(_hits(text, _HEDGES) / 2, 1.0))


def _conflict(text: str) -> float:
    return min((_hits(text, _UNCERTAIN) + _hits(text, _CORRECTION) + _hits(text, _META)) / 6, 1.0)
