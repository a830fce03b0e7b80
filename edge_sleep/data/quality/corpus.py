"""Text of corpora that the base is known to have memorised (`quality.known_corpora`)."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.words import ngrams, normalised, sentences, words
from edge_sleep.errors import ConfigError

RUN = 6                                   # words in a run; upstream's collapses share 28 to 62 % of theirs with 25 answers
_QUESTION_WORDS = 3                       # shorter questions are anybody's
_LARGEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Corpus:
    """The 6-word runs of a corpus, and its questions (normalised)."""

    runs: frozenset[int]
    questions: frozenset[str]


def _strings(document: Any) -> Iterator[str]:
    pending = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _texts(path: Path) -> Iterator[str]:
    """Every string of a JSON or JSONL document; any other file is one text."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise OSError(f"larger than {_LARGEST_BYTES >> 20} MiB; name a sample of it")
    text = path.read_text(encoding="utf-8-sig")
    try:
        yield from _strings(json.loads(text))
    except ValueError:
        if path.suffix.lower() != ".jsonl":
            yield text
            return
        for line in filter(str.strip, text.splitlines()):
            yield from _strings(json.loads(line))


@lru_cache(maxsize=4)
def known(paths: tuple[str, ...]) -> Corpus | None:
    """The corpora at `paths` as one, read once; None without any. ConfigError names each that cannot be read."""
    runs: set[int] = set()
    questions: set[str] = set()
    problems = []
    for path in paths:
        try:
            for text in _texts(Path(path).expanduser()):
                runs.update(map(hash, ngrams(words(text), RUN)))
                questions.update(normalised(part) for part in sentences(text)
                                 if part.endswith(("?", "？")) and len(words(part)) >= _QUESTION_WORDS)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"quality.known_corpora: {path} cannot be read ({error}); give a JSON, JSONL or text file")
    if problems:
        raise ConfigError(problems)
    return Corpus(frozenset(runs), frozenset(questions)) if paths else None


def from_corpus(exchange: Exchange, corpus: Corpus | None, overlap: float) -> Finding | None:
    """More than `overlap` of the answer's 6-word runs are the corpus's, or most of its sentences are its questions."""
    if corpus is None:
        return None
    grams = ngrams(words(exchange.response), RUN)
    hit = [gram for gram in grams if hash(gram) in corpus.runs]
    if len(hit) > len(grams) * overlap:
        return Finding(QuarantineReason.REGURGITATION,
                       f'{len(hit) / len(grams):.0%} of its {RUN}-word runs are a known corpus\'s: "{" ".join(hit[0])}"')
    said = sentences(exchange.response)
    asked = [part for part in said if normalised(part) in corpus.questions]
    if len(asked) > len(said) / 2:
        return Finding(QuarantineReason.REGURGITATION, f"answers with a known corpus's question: {quote(asked[0])}")
    return None
