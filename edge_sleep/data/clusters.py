"""Prompts that ask the same thing in nearly the same words: 90 % of one real buffer answers 14 prompts.

Leader clustering in one pass: a prompt joins the first cluster whose leader shares NEAR of its content words, found by
MinHash bands, so the time grows with the number of prompts and not with its square. Prompts with other numbers in them
are other prompts: the same sum with other figures is another exercise.

MinHash: Broder 1997. With 4 bands of 2 a pair of overlap 0.75 meets in 96 % of cases, one of 0.5 in 68 %, and what meets
is compared word by word.
"""
from __future__ import annotations

import re
from collections import defaultdict

from edge_sleep.data.words import content_words, jaccard, mark, words

NEAR = 0.75                               # Jaccard of content words: "my aunt's favourite food" is not "my uncle's"
_BANDS, _PER_BAND = 4, 2
_CROWD = 16                               # leaders looked at per band: a template with thousands of fillings stays linear
_MASK = (1 << 32) - 1
# Odd multipliers of a linear congruence, fixed so that every machine finds the same clusters.
_HASHES = tuple((0x9E3779B1 * (2 * n + 1) & _MASK | 1, 0x85EBCA6B * (n + 1) & _MASK) for n in range(_BANDS * _PER_BAND))
_ENDING = re.compile(r"'(?:s|ve|re|d|ll|m)$")
_DIGIT = re.compile(r"\d")


def key_words(prompt: str) -> frozenset[str]:
    """What the prompt is about: content words without endings after an apostrophe; all its words where it has none."""
    return frozenset(_ENDING.sub("", word) for word in content_words(prompt)) or frozenset(words(prompt))


class Clusters:
    """Numbers prompts by what they ask; equal numbers ask nearly the same. Depends on the order of asking."""

    def __init__(self) -> None:
        self._known: dict[frozenset[str], int] = {}
        self._leaders: list[frozenset[str]] = []
        self._bands: defaultdict[tuple, list[int]] = defaultdict(list)

    def of(self, prompt: str) -> int:
        """The prompt's cluster, a new one where no leader is near."""
        about = key_words(prompt)
        if (known := self._known.get(about)) is not None:
            return known
        keys = _keys(about)
        near = sorted({leader for key in keys for leader in self._bands[key]})
        cluster = next((leader for leader in near if jaccard(about, self._leaders[leader]) >= NEAR), None)
        if cluster is None:
            cluster = len(self._leaders)
            self._leaders.append(about)
            for key in keys:
                if len(self._bands[key]) < _CROWD:
                    self._bands[key].append(cluster)
        self._known[about] = cluster
        return cluster


def _keys(about: frozenset[str]) -> list[tuple]:
    marks = [mark(word) for word in about] or [0]
    numbers = tuple(sorted(word for word in about if _DIGIT.search(word)))
    least = [min([(factor * value + term) & _MASK for value in marks]) for factor, term in _HASHES]
    return [(band, numbers, *least[band * _PER_BAND:(band + 1) * _PER_BAND]) for band in range(_BANDS)]
