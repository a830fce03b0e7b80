"""Collapse that shows inside one answer: placeholders, loops, floods of questions, the prompt said back."""
from __future__ import annotations

import re
from collections import Counter

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.words import jaccard, ngrams, sentences, words

_FEWEST_GRAMS = 9                         # 4-grams an answer needs before their repeating means something
_PLACEHOLDER = re.compile(r"^\s*[\[(<][^\])>]*\b(fail(ed|ure)?|error|not generated|no response|timed? ?out|placeholder|"
                          r"todo|unavailable|deadlock(ed)?|empty response)\b[^\])>]*[\])>]", re.IGNORECASE)


def placeholder(exchange: Exchange) -> Finding | None:
    if found := _PLACEHOLDER.search(exchange.response):
        return Finding(QuarantineReason.PLACEHOLDER, quote(found.group()))
    return None


def loop(exchange: Exchange, repeat_ratio: float) -> Finding | None:
    """Share of 4-grams that repeat an earlier one, in [0, 1]; or one sentence three times in a row."""
    grams = ngrams(words(exchange.response), 4)
    if len(grams) >= _FEWEST_GRAMS:
        share = 1 - len(set(grams)) / len(grams)
        if share > repeat_ratio:
            most, times = Counter(grams).most_common(1)[0]
            return Finding(QuarantineReason.LOOP, f'{share:.0%} of 4-word runs repeat; "{" ".join(most)}" {times} times')
    said = [sentence.casefold() for sentence in sentences(exchange.response)]
    for first, second, third in zip(said, said[1:], said[2:], strict=False):
        if first == second == third:
            return Finding(QuarantineReason.LOOP, f"{quote(first)} three times in a row")
    return None


def flood(exchange: Exchange, max_questions: int) -> Finding | None:
    asked = exchange.response.count("?") + exchange.response.count("？")
    if asked > max_questions:
        return Finding(QuarantineReason.QUESTION_FLOOD, f"{asked} question marks, at most {max_questions}")
    return None


def _pairs(tokens: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(" ".join, ngrams(tokens, 2)))


def prompt_echo(exchange: Exchange, overlap: float) -> Finding | None:
    """An answer no longer than its prompt, with more than `overlap` of their 2-grams in common (Jaccard)."""
    prompt, response = words(exchange.prompt), words(exchange.response)
    if len(prompt) >= 4 and (prompt == response or (
            len(response) <= len(prompt) * 1.3
            and jaccard(_pairs(prompt), _pairs(response)) > overlap)):
        return Finding(QuarantineReason.PROMPT_ECHO, f"repeats its prompt: {quote(exchange.response)}")
    return None
