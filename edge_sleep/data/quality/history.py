"""What the gate asks of the past; `data/memory.py` answers from the home's database."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class History(Protocol):
    def prompts_among(self, parts: Sequence[str]) -> set[str]:
        """Those of the sentences that somebody once gave as a prompt."""

    def prompts_of(self, fingerprints: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
        """For each fingerprint that other answers held: (number, prompt) of those exchanges."""

    def unsaid(self, stems: Sequence[int]) -> set[int]:
        """Those word stems that no prompt of this home ever held."""


class Unseen:
    """A past in which nothing was said: an answer is judged by its own words."""

    def prompts_among(self, parts: Sequence[str]) -> set[str]:
        return set()

    def prompts_of(self, fingerprints: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
        return {}

    def unsaid(self, stems: Sequence[int]) -> set[int]:
        return set()
