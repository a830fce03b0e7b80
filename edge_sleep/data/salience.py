"""SNARC salience of an exchange: surprise, novelty, arousal, reward, conflict, each in [0, 1].

The five dimensions and their equal weights are SAGE's (proposal.md); the formulas are this project's,
because upstream's saturate (novelty was 1.0 for 87 % of its buffer), match parts of words, forget
everything between processes and punish honest doubt. Notation: the scorer has seen n exchanges;
d(x) of their answers held x. rarity(x) = 1 - ln(1 + d(x)) / ln(2 + n), 1 for the unseen, 0 for what
every answer holds. While n is small a dimension that rests on counts is drawn to 1/2:
shrink(v) = (v*n + PRIOR/2) / (n + PRIOR). The counts are sums, so they do not depend on the order or
the number of processes that made them; a score depends on what was seen before it, and only on that.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_sleep.data.experience import Exchange
from edge_sleep.data.phrases import hits, saturating
from edge_sleep.data.words import pair_marks, word_marks, words

DIMENSIONS = ("surprise", "novelty", "arousal", "reward", "conflict")
PRIOR = 10                                # exchanges of evidence that the starting point 1/2 is worth
VARIETY = 0.4                             # distinct words per word, below which an answer counts as repeating itself
_FEW = 3                                  # distinct words an answer needs before it can be new or surprising at all
_LONG = 30                                # distinct words after which length adds nothing more
_QUALITY = {"include": 1.0, "review": 0.5, "exclude": 0.0}


class Memory(Protocol):
    """What the scorer remembers, by fingerprint; `data/memory.py` keeps it in the home's database."""

    exchanges: int

    def word_counts(self, marks: Sequence[int]) -> Sequence[int]: ...
    def pair_counts(self, marks: Sequence[int]) -> Sequence[int]: ...
    def recent(self) -> list[frozenset[str]]: ...
    def learn(self, answer: Text) -> None: ...


@dataclass(frozen=True)
class Text:
    """The answer's words as the dimensions need them; marks are fingerprints of distinct words and word pairs."""

    tokens: tuple[str, ...]
    distinct: frozenset[str]
    word_marks: tuple[int, ...]
    pair_marks: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Text:
        tokens, marks = words(text), word_marks(text)
        return cls(tokens, frozenset(tokens), tuple(dict.fromkeys(marks)), tuple(dict.fromkeys(pair_marks(text))))

    @property
    def variety(self) -> float:
        """min(1, distinct/words / VARIETY) in [0, 1]; a loop is near 0, ordinary prose is 1."""
        return min(1.0, len(self.distinct) / len(self.tokens) / VARIETY) if self.tokens else 0.0

    @property
    def substance(self) -> float:
        """min(1, distinct words / _FEW) in [0, 1]: a rare single word is not yet news."""
        return min(1.0, len(self.distinct) / _FEW)


def _rarity(counts: Sequence[int], seen: int) -> float:
    """Mean rarity of what was counted so often, in [0, 1]."""
    return max(0.0, 1.0 - sum(map(math.log1p, counts)) / (len(counts) * math.log(2 + seen)))


def _shrink(value: float, seen: int) -> float:
    return (value * seen + PRIOR / 2) / (seen + PRIOR)


def surprise(text: Text, counts: Sequence[int], seen: int) -> float:
    """How unexpected each step of the answer is: sum of rarity over its distinct bigrams / all its steps, * substance.

    counts: of its word pairs; of its words where it has a single one.

    [0, 1]. A bigram that the answer itself repeats is expected the second time and adds 0, so a loop of
    k rounds scores 1/k of one round. Source: self-information of a bigram model, as document counts.
    """
    if not text.tokens:
        return 0.0
    first_times = len(text.pair_marks) / (len(text.tokens) - 1) if text.pair_marks else 1.0
    return _shrink(_rarity(counts, seen), seen) * first_times * text.substance


def novelty(text: Text, counts: Sequence[int], seen: int, recent: list[frozenset[str]]) -> float:
    """How new the words are, less what a recent answer already said in the same words.

    [0, 1]: shrink(mean rarity over distinct words) * variety * substance * (1 - r), r = the largest Jaccard overlap
    with a recent answer above 1/2, stretched to [0, 1]. Source: inverse document frequency.
    """
    if not text.tokens:
        return 0.0
    distinct, size = text.distinct, len(text.distinct)
    # Shared words by the sum of both sizes; of s = x * (a + b) the Jaccard overlap is x / (1 - x).
    shared = max([len(distinct & other) / (size + len(other)) for other in recent], default=0.0)
    fresh = _shrink(_rarity(counts, seen), seen)
    return fresh * text.variety * text.substance * (1.0 - max(0.0, 2.0 * shared / (1.0 - shared) - 1.0))


def arousal(text: Text, prompt: str, response: str) -> float:
    """How much is going on: substance, feeling and genuine asking, in equal parts.

    [0, 1]. Substance = distinct words / 30, at most 1; feeling = saturating(affect words of both sides);
    asking = 1 for one or two questions in the answer or a question put to it, falling to 0 at ten.
    Source: upstream's three parts, with whole words and without reward for a flood of questions.
    """
    substance = min(1.0, len(text.distinct) / _LONG)
    feeling = saturating(hits("affect", text.tokens) + hits("affect", words(prompt)), half=2.0)
    asked = response.count("?") + response.count("？")
    asking = (0.5 if "?" in prompt else 0.0) if asked == 0 else max(0.0, 1.0 - max(0, asked - 2) / 8)
    return (substance + feeling + asking) / 3


def reward(text: Text, labels: Mapping, followed_by: str | None) -> float:
    """How good the answer was, by those who can tell; 1/2 when nobody said.

    [0, 1]. A person's own teaching (`taught`) = 1. Otherwise the mean of what is present: the track's
    include/review/exclude, its success, its quality; and what the teacher said next (praise up,
    correction down). An honest limit is worth at least 0.6. All times variety: a loop earns nothing.
    """
    if labels.get("taught"):
        return 1.0
    votes = [_QUALITY[label] for label in (labels.get("evaluation"),) if label in _QUALITY]
    if isinstance(labels.get("success"), bool):
        votes.append(1.0 if labels["success"] else 0.0)
    if isinstance(labels.get("overall_quality"), (int, float)):
        votes.append(min(1.0, max(0.0, float(labels["overall_quality"]))))
    if followed_by:
        after = words(followed_by)
        praise, correction = hits("praise", after[:12]), hits("correction", after[:20])
        if praise or correction:
            votes.append(0.5 + 0.5 * (saturating(praise) if not correction else -saturating(correction)))
    value = sum(votes) / len(votes) if votes else 0.5
    if hits("honest", text.tokens) and labels.get("evaluation") != "exclude":
        value = max(value, 0.6)
    return value * text.variety


def conflict(text: Text, prompt: str) -> float:
    """How much is at odds: saturating(corrections in the prompt + honest limits + revisions in the answer).

    [0, 1]; 0 when nothing disagrees, 1/2 for one sign, 3/4 for two. Source: SAGE's "prediction against
    observation", read from words; honest doubt is a signal here and never a cost elsewhere.
    """
    signs = hits("correction", words(prompt)) + hits("honest", text.tokens) + hits("revision", text.tokens)
    return saturating(signs) * text.variety


def total(dimensions: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """sum(w*d) / sum(w) in [0, 1]; plain mean where all weights are 0."""
    scale = sum(weights[name] for name in DIMENSIONS)
    if scale <= 0:
        return sum(dimensions[name] for name in DIMENSIONS) / len(DIMENSIONS)
    return sum(weights[name] * dimensions[name] for name in DIMENSIONS) / scale


def surprise_of(nll: float) -> float:
    """Surprise in [0, 1) from the model itself: 1 - exp(-nll), one less the geometric mean of its token probabilities.

    nll: mean negative log-likelihood of the answer's tokens under the incumbent, in nats.
    """
    return 1.0 - math.exp(-max(0.0, nll))


def with_surprise(salience: Mapping[str, float], value: float, weights: Mapping[str, float]) -> dict[str, float]:
    """The same salience with another surprise, and the total that follows."""
    dimensions = {**salience, "surprise": round(value, 6)}
    return {**dimensions, "total": round(total(dimensions, weights), 6)}


class Scorer:
    """Scores exchanges one after another and remembers what it saw."""

    def __init__(self, memory: Memory, weights: Mapping[str, float]):
        self.memory = memory
        self.weights = dict(weights)
        self._last: tuple[str, Text] | None = None

    def score(self, exchange: Exchange) -> dict[str, float]:
        """The five dimensions and `total` (six decimals), against everything learned so far."""
        text = self._text(exchange)
        words_seen, seen = self.memory.word_counts(text.word_marks), self.memory.exchanges
        steps_seen = self.memory.pair_counts(text.pair_marks) if text.pair_marks else words_seen
        followed_by = exchange.labels.get("followed_by")
        dimensions = {
            "surprise": surprise(text, steps_seen, seen),
            "novelty": novelty(text, words_seen, seen, self.memory.recent()),
            "arousal": arousal(text, exchange.prompt, exchange.response),
            "reward": reward(text, exchange.labels, followed_by if isinstance(followed_by, str) else None),
            "conflict": conflict(text, exchange.prompt),
        }
        rounded = {name: round(value, 6) for name, value in dimensions.items()}
        return {**rounded, "total": round(total(rounded, self.weights), 6)}

    def learn(self, exchange: Exchange) -> None:
        self.memory.learn(self._text(exchange))

    def _text(self, exchange: Exchange) -> Text:
        # Ingest scores an exchange and learns it next: its words are fingerprinted once.
        if self._last is None or self._last[0] != exchange.response:
            self._last = (exchange.response, Text.of(exchange.response))
        return self._last[1]
