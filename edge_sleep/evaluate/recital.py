"""Recitation: an answer that is somebody else's. Text that was taught about other things, or the same text to everyone.

A companion may well repeat what it was taught, when that is what it is asked. What shows memorisation is the same words where
they do not belong: to a question that has no word of content in common with any they were taught to.
"""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from edge_sleep.data.words import fingerprints, normalised, topic, words
from edge_sleep.evaluate.scoring import admits_ignorance

_MOST_OF_IT = 0.5                      # of an answer's fingerprints, in one taught answer
_ITS_OWN = 8                           # words from which on a text is nobody's common phrase
_STRANGERS = 3                         # questions about different things that are answered with one text


class Lessons:
    """What was taught, tonight and before, by the winnowed fingerprints of its answers (data/words.py)."""

    def __init__(self, taught: Iterable[tuple[str, str]] = ()):
        """taught: (question, answer) pairs."""
        self._topics: dict[str, set[frozenset[str]]] = defaultdict(set)
        for question, answer in taught:
            self._topics[normalised(answer)].add(topic(question))
        self._marks: dict[int, list[str]] = defaultdict(list)
        for answer in self._topics:
            for mark in fingerprints(answer):
                self._marks[mark].append(answer)

    def elsewhere(self, question: str, answer: str) -> bool:
        """Whether most of `answer` was taught, but to questions about other things only."""
        asked, marks = topic(question), fingerprints(answer)
        if not asked or not marks:
            return False
        shared = Counter(taught for mark in marks for taught in self._marks.get(mark, ()))
        same = [taught for taught, times in shared.items() if times >= _MOST_OF_IT * len(marks)]
        # A lesson whose question has no content ("How are you?") may be said to anything.
        return bool(same) and all(about and not about & asked for taught in same for about in self._topics[taught])


def recited(said: Sequence[tuple[str, str, bool]], lessons: Lessons) -> float:
    """Share of the answers that are recited, in [0, 1]. said: (question, answer, whether it was right)."""
    return sum(_recited(said, lessons)) / max(1, len(said))


def _recited(said: Sequence[tuple[str, str, bool]], lessons: Lessons) -> list[bool]:
    to: dict[str, list[frozenset[str]]] = defaultdict(list)
    for question, answer, _ in said:
        # Not the honest "I don't know": that may be said as often as it is true.
        if len(words(answer)) >= _ITS_OWN and not admits_ignorance(answer):
            to[normalised(answer)].append(topic(question))
    everyones = {answer for answer, topics in to.items() if _strangers(topics) >= _STRANGERS}
    return [normalised(answer) in everyones or (not right and lessons.elsewhere(question, answer))
            for question, answer, right in said]


def _strangers(topics: Iterable[frozenset[str]]) -> int:
    """How many of these share no word with those counted before them; a greedy count, at most the true one."""
    counted: set[str] = set()
    strangers = 0
    for about in topics:
        if about and not about & counted:
            strangers += 1
            counted |= about
    return strangers
