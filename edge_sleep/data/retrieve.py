"""Finding what was said before: BM25 over the questions and answers that a home holds.

score(q, d) = sum over words of idf * f (k + 1) / (f + k (1 - b + b |d| / mean |d|)), idf = ln(1 + (N - n + .5) / (n + .5))
(Robertson and Zaragoza 2009, in the form that is never negative), with stems as words: "gardens" finds "garden".
"""
from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from edge_sleep.data.experience import Experience
from edge_sleep.data.words import content_words, stem, words

_K, _B = 1.2, 0.75


class Memories:
    """Experiences by their words; built once a night, some microseconds a word."""

    def __init__(self, experiences: Sequence[Experience]):
        self.experiences = list(experiences)
        counts = [Counter(map(stem, words(f"{item.prompt} {item.response}"))) for item in self.experiences]
        self._lengths = [sum(count.values()) for count in counts]
        self._mean = sum(self._lengths) / len(counts) if counts else 1.0
        self._places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, count in enumerate(counts):
            for mark, times in count.items():
                self._places[mark].append((place, times))

    def top(self, question: str, most: int) -> list[Experience]:
        """At most `most` experiences that share content words with the question, the best first; ties as they were stored."""
        scores: dict[int, float] = defaultdict(float)
        for mark in {stem(word) for word in content_words(question)}:
            found = self._places.get(mark, [])
            rarity = math.log(1 + (len(self.experiences) - len(found) + 0.5) / (len(found) + 0.5))
            for place, times in found:
                length = 1 - _B + _B * self._lengths[place] / self._mean
                scores[place] += rarity * times * (_K + 1) / (times + _K * length)
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:most]
        return [self.experiences[place] for place, _ in best]
