"""Other wordings of a prompt, each with the move that made it.

Three moves keep every word: a frame around the whole prompt ("I would like to know: ..."), the question asked
indirectly ("Tell me what X is."), and surface changes (contractions, a missing question mark, a lower first
letter). Nights were measured with these; the moves that change words take part where they are named (`data.moves`).
`reworded` (training) and `probe_rewordings` (held-out recall probes) draw from disjoint frames.
"""
from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from edge_sleep.data.augment.facts import expand_is, keeps_every_word, same_facts
from edge_sleep.data.augment.grammar import indirect_clause, is_question, lowered
from edge_sleep.data.augment.moves import MOVES
from edge_sleep.data.augment.wordings import FRAMES, INDIRECT, PROBE_FRAMES, PROBE_INDIRECT, STATEMENT_FRAMES

_LONGEST = 240                            # characters; longer prompts are tasks with material, not questions
_PLAIN_FIRST = 3                          # wordings that keep every word, before the moves that change some
_IS = re.compile(r"\b(what|who|where|how) is\b", re.IGNORECASE)
_I_AM = re.compile(r"\bI am\b(?! not)")


@dataclass(frozen=True)
class Wording:
    """A prompt in other words; move: which one made it."""

    text: str
    move: str


def reworded(prompt: str, n: int, seed: int, moves: Sequence[str] = ()) -> list[Wording]:
    """At most `n` different wordings of the prompt, the prompt itself not among them; same seed, same list.

    moves: names of `moves.MOVES` that take part, in turn, after the first few plain wordings.
    """
    text = prompt.strip()
    if not _can_be_reworded(text):
        return []
    generator = random.Random(f"{seed}:{text}")
    plain = _distinct(text, _framed(text, generator, FRAMES, INDIRECT, surface=True))
    bold = _in_turn(*([Wording(candidate, name) for candidate in MOVES[name](text, generator)] for name in moves))
    return _distinct(text, [*plain[:_PLAIN_FIRST], *(wording for wording in bold if same_facts(text, wording.text)),
                            *plain[_PLAIN_FIRST:]])[:max(0, n)]


def probe_rewordings(prompt: str, n: int, seed: int = 0) -> list[str]:
    """At most `n` wordings for held-out probes, from frames that `reworded` never uses; indirect ones first."""
    text = prompt.strip()
    if not (is_question(text) and _can_be_reworded(text)):
        return []
    generator = random.Random(f"{seed}:{text}")
    found = _distinct(text, _framed(text, generator, PROBE_FRAMES, PROBE_INDIRECT, surface=False))
    return [wording.text for wording in found[:max(0, n)]]


def _can_be_reworded(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and "\n" not in text


def _framed(text: str, generator: random.Random, frames: tuple[str, ...], indirect: tuple[str, ...],
            surface: bool) -> Iterator[Wording]:
    if not is_question(text):
        statements = [Wording(frame.format(Q=text), "frame") for frame in STATEMENT_FRAMES]
        generator.shuffle(statements)
        candidates = statements
    else:
        framed = [Wording(frame.format(q=lowered(text), Q=text), "frame") for frame in frames]
        clause = indirect_clause(text)
        turned = [Wording(pattern.format(i=clause), "indirect") for pattern in indirect] if clause else []
        changed = [Wording(change(text), "surface") for change in _SURFACE] if surface else []
        for group in (framed, turned, changed):
            generator.shuffle(group)
        candidates = list(_in_turn(turned, framed, changed))
    return (wording for wording in candidates
            if same_facts(text, wording.text) and keeps_every_word(text, wording.text))


def _distinct(text: str, wordings: Iterable[Wording]) -> list[Wording]:
    """The first of each text, the original left out."""
    found: dict[str, Wording] = {}
    for wording in wordings:
        if wording.text != text:
            found.setdefault(wording.text, wording)
    return list(found.values())


def _in_turn(*groups: list[Wording]) -> Iterator[Wording]:
    return (wording for row in zip_longest(*groups) for wording in row if wording is not None)


def _contract(text: str) -> str:
    return _I_AM.sub("I'm", _IS.sub(lambda found: found.group(1) + "'s", text, count=1))


def _expand(text: str) -> str:
    return expand_is(text, count=1)


def _without_mark(text: str) -> str:
    return text.rstrip("?？ ")


def _casual(text: str) -> str:
    return lowered(text).rstrip("?？ ")


_SURFACE: tuple[Callable[[str], str], ...] = (_contract, _expand, _without_mark, _casual, lowered)
