"""Collapse that shows across answers: the same text said to prompts that ask different things.

Answers are compared by fingerprints of their 5-word runs, thinned by winnowing (Schleimer, Wilkerson and
Aiken, 2003), so that a mosaic of memorised phrases is found as well as a copy, from an index and without
comparing all pairs.
"""
from __future__ import annotations

from collections import Counter

from edge_sleep.data.phrases import hits
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.quality.history import History
from edge_sleep.data.words import content_words, fingerprints, jaccard, normalised, sentences, words

LONG_ANSWER = 12                          # words; shorter answers may rightly repeat (a fact, asked in several ways)
RELATED_PROMPTS = 0.2                     # Jaccard of content words above which two prompts ask the same thing
_HONEST = 40                              # words; a longer answer says more than that it does not know
_COPIES = 2                               # unrelated prompts that make a run of words an attractor


def unrelated(prompt: str, other: str) -> bool:
    """Whether two prompts ask different things: neither the same words nor a shared topic."""
    if normalised(prompt) == normalised(other):
        return False
    left, right = content_words(prompt), content_words(other)
    return not left or not right or jaccard(left, right) < RELATED_PROMPTS


def _honest(response: str) -> bool:
    """An answer that begins with where its knowledge ends may be given as often as it is true."""
    return len(words(response)) <= _HONEST and hits("honest", words(sentences(response)[0])) > 0


def repeated(prompt: str, response: str, history: History, *, copied: float, mosaic: float,
             hindsight_of: int | None = None) -> Finding | None:
    """Text said elsewhere: a copy of one earlier answer, or a mosaic of what many prompts got.

    copied, mosaic: shares of the answer's fingerprints in (0, 1] above which it is refused; 1 never
    refuses. With hindsight_of (the exchange's own number) it is compared with later answers too, and only
    the mosaic counts: the first of many copies is no better than the others, the first of two is.
    """
    if len(words(response)) < LONG_ANSWER or _honest(response):
        return None
    marks = fingerprints(response)
    found = history.prompts_of(marks)
    if len(found) <= len(marks) * min(copied, mosaic):
        return None
    asks_else: dict[str, bool] = {}
    holders: Counter[int] = Counter()
    attractors = 0
    prompt_of: dict[int, str] = {}
    for rows in found.values():
        elsewhere = set()
        for number, asked in rows:
            if number == hindsight_of:
                continue
            if asked not in asks_else:
                asks_else[asked] = unrelated(asked, prompt)
            if asks_else[asked]:
                elsewhere.add(normalised(asked))
                holders[number] += 1
                prompt_of[number] = asked
        attractors += len(elsewhere) >= _COPIES
    if hindsight_of is None and holders:
        number, shared = holders.most_common(1)[0]
        if shared > copied * len(marks):
            return Finding(QuarantineReason.REPETITION,
                           f"{shared / len(marks):.0%} of it was the answer already given to {quote(prompt_of[number])}")
    if attractors > mosaic * len(marks):
        examples = " and ".join(quote(asked) for asked in sorted(set(prompt_of.values()))[:2])
        return Finding(QuarantineReason.REGURGITATION,
                       f"{attractors / len(marks):.0%} of it was said to {_COPIES} or more unrelated prompts, such as {examples}")
    return None
