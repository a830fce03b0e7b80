"""One answer as sets of what it says: its sentences, words and runs, each once, so that repeating adds nothing."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

from edge_sleep.config import read_yaml
from edge_sleep.data.experience import Exchange, Message
from edge_sleep.data.phrases import found, function_words
from edge_sleep.data.quality.belonging import scripts
from edge_sleep.data.quality.loops import placeholder
from edge_sleep.data.quality.repetition import LONG_ANSWER
from edge_sleep.data.words import ngrams, sentences, words
from edge_sleep.evaluate.scoring import admits_ignorance

RESOURCES = Path(__file__).resolve().parent.parent.parent / "resources"
RUN = 5                                   # words in a row that two answers do not share by chance
_HONEST_WORDS = 30                        # different words; a longer answer says more than that it does not know
_ECHO_WORDS, _ECHO = 5, 0.9               # an echo has as many words, and this share of them from its prompt
_MOST_QUESTIONS = 10                      # as quality.max_questions
_NEAR = 3                                 # words before a phrase in which a negation denies it
_AGAIN = re.compile(r"\b(\w+(?:'\w+)*)(?:[ \t]+\1(?![\w']))+", re.IGNORECASE)
_ASKS = re.compile(r"[?？][\"'”’)\]*_]*$")

Phrases = dict[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class Answer:
    """What was asked and what was said. answerable: whether anybody could know; None where nobody said."""

    prompt: str
    text: str
    context: tuple[Message, ...] = ()
    answerable: bool | None = None


@cache
def _listed(name: str) -> Phrases:
    """A list of resources/raising.yaml by the first word of its phrases."""
    firsts: dict[str, list[tuple[str, ...]]] = {}
    for phrase in read_yaml(RESOURCES / "raising.yaml")[name]:
        parts = words(str(phrase))
        firsts.setdefault(parts[0], []).append(parts)
    return {word: tuple(of_word) for word, of_word in firsts.items()}


def _denied(before: Sequence[str]) -> bool:
    """Whether one of the words before a phrase denies it. "Not only" does not, nor "No, we are"."""
    return any(word in _listed("negation") and then not in ("only", "just") or word in _listed("close_negation") and distance <= 2
               for word, then, distance in zip(before, (*before, "")[1:], range(len(before), 0, -1), strict=True))


class Reading:
    """An answer read once. Everything here is the same however often it repeats a sentence, or a word beside itself."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.text = _AGAIN.sub(r"\1", answer.text.replace("’", "'"))
        said = sentences(self.text)
        self._said = [tuple(word for word, _ in groupby(words(sentence))) for sentence in said]
        self.sentences = frozenset(self._said)
        asks = [_ASKS.search(sentence) is not None for sentence in said]
        questions = frozenset(tokens for tokens, asking in zip(self._said, asks, strict=True) if asking)
        self.statements = frozenset(tokens for tokens, asking in zip(self._said, asks, strict=True) if not asking)
        self.asked = frozenset(word for tokens in questions for word in tokens)
        self.words = frozenset(word for tokens in self.sentences for word in tokens)
        self.told = self.words - self.asked        # a word of its question adds nothing where it is said again
        self._questions = len(questions)

    @property
    def short(self) -> bool:
        """Few words may rightly be said again: a fact, thanks, a greeting (as in quality/repetition.py)."""
        return len(self.words) < LONG_ANSWER

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        """Its runs of five words within a sentence."""
        return frozenset(run for tokens in self.sentences for run in ngrams(tokens, RUN))

    def spoken(self, name: str) -> frozenset[tuple[str, ...]]:
        """The phrases of a list of raising.yaml that it holds."""
        return frozenset(phrase for phrase, _ in self._places(name))

    def held(self, name: str) -> frozenset[tuple[str, ...]]:
        """Those that it nowhere denies."""
        return self.spoken(name) - {phrase for phrase, before in self._places(name) if _denied(before)}

    def _places(self, name: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """(phrase, the words before it) wherever a phrase of the list stands."""
        listed = _listed(name)
        return [(phrase, tokens[max(0, place - _NEAR):place]) for tokens in self.sentences
                for place, word in enumerate(tokens) for phrase in listed.get(word, ())
                if tokens[place:place + len(phrase)] == phrase]

    def stock(self, name: str) -> int:
        """How many different phrases of a list of phrases.yaml it holds."""
        return len(set().union(*(found(name, tokens) for tokens in self.sentences)))

    @cached_property
    def _admitting(self) -> frozenset[tuple[str, ...]]:
        return frozenset(tokens for tokens in self.statements if admits_ignorance(" ".join(tokens)))

    @property
    def admits(self) -> bool:
        """It says somewhere that it does not know."""
        return bool(self._admitting)

    @cached_property
    def honest(self) -> bool:
        """It says no more than that it does not know: that may be said as often as it is true."""
        return self.admits and len(self.words) <= _HONEST_WORDS and self._admitting == self.statements

    @cached_property
    def only_asks(self) -> bool:
        return bool(self.asked) and not self.told

    @cached_property
    def foreign(self) -> bool:
        """Not English, which is what the lists are in: another script, or twice as many of another language's function words."""
        letters = scripts(" ".join(self.words))
        if 2 * letters["LATIN"] < letters.total():
            return True
        counts = {name: len(self.words & listed) for name, listed in function_words().items()}
        english = counts.pop("english")
        return max(counts.values()) >= 2 and max(counts.values()) > 2 * english

    @cached_property
    def broken(self) -> bool:
        """Empty, a placeholder, a loop, a flood of questions, or its prompt said back."""
        return (not self.words or placeholder(Exchange("", self.answer.text)) is not None or self._loops or self._floods
                or self._echoes)

    @cached_property
    def _loops(self) -> bool:
        """A run of four words or a sentence three times (five times where it is one word), or a word five times in a row.

        `scoring.loops` counts runs across sentences, which a word put between two of them breaks.
        """
        said = map(words, sentences(self.answer.text))
        if any(len(list(group)) >= 5 for tokens in said for _, group in groupby(tokens)):
            return True
        counts = Counter(run for tokens in self._said for run in (tokens, *(ngrams(tokens, 4) if len(tokens) > 4 else ())))
        return any(times >= (3 if len(run) > 1 else 5) for run, times in counts.items())

    @cached_property
    def _floods(self) -> bool:
        """Three questions or more, of more different words than it tells; or more than ten question marks."""
        marks = self.answer.text.count("?") + self.answer.text.count("？")
        return self._questions >= 3 and len(self.asked) > len(self.told) or marks > _MOST_QUESTIONS

    @cached_property
    def _echoes(self) -> bool:
        return len(self.words) >= _ECHO_WORDS and len(self.words & set(words(self.answer.prompt))) >= _ECHO * len(self.words)
