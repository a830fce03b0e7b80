"""What the companion dreams of: themes, associations, qualities and memories in tonight's experiences, by counting.

themes: words that come back in several experiences, joined where they mostly come together (Jaccard of the experiences that hold
them). associations: pairs of words that meet in several sessions more often than chance has it (Dunning's log-likelihood ratio,
1993). qualities: what went with answers that held, against answers that broke, as the difference of means of each dimension of
salience with its 95 % interval. memories: the most salient that were kept. No model is asked; the same night gives the same page.
"""
from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from edge_sleep.data.experience import Experience
from edge_sleep.data.salience import DIMENSIONS
from edge_sleep.data.words import STOP, jaccard, words

VERSION = 1
_LEAST_LETTERS = 4
_LEAST_EXPERIENCES = 3                 # that hold a word of a theme
_TOGETHER = 0.5                        # Jaccard from which two words are one theme
_CHANCE = 10.83                        # chi-squared of one degree at .001
_LEAST_EACH = 5                        # answers of either kind that a difference needs
_MOST_WORDS = 400                      # that are compared in pairs


def patterns(kept: Sequence[Experience], broken: Sequence[Experience], most: int = 12) -> dict[str, Any]:
    """kept: tonight's experiences; broken: what the data gate refused of the same days."""
    held = [frozenset(_stem(word) for word in words(f"{item.prompt} {item.response}") if _tells(word)) for item in kept]
    spoken: dict[str, Counter[str]] = defaultdict(Counter)
    for item in kept:
        for word in words(f"{item.prompt} {item.response}"):
            if _tells(word):
                spoken[_stem(word)][word] += 1
    where = _places(held)
    return {"version": VERSION, "experiences": len(kept), "themes": _themes(kept, where, spoken)[:most],
            "associations": _associations(kept, held, where, spoken)[:most], "qualities": _qualities(kept, broken),
            "memories": [{"id": item.id, "prompt": item.prompt, "response": item.response, "salience": item.salience["total"]}
                         for item in sorted(kept, key=lambda item: (-item.salience.get("total", 0.0), item.id))[:most]
                         if "total" in item.salience]}


def _tells(word: str) -> bool:
    return len(word) >= _LEAST_LETTERS and word not in STOP and not word.isdigit()


def _stem(word: str) -> str:
    """Plurals and possessives are one word; no more is guessed."""
    word = word.removesuffix("'s")
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > _LEAST_LETTERS else word


def _places(held: Sequence[frozenset[str]]) -> dict[str, frozenset[str]]:
    """word -> the numbers (as text) of the experiences that hold it, for words of several; the commonest first."""
    found: dict[str, set[str]] = defaultdict(set)
    for number, stems in enumerate(held):
        for stem in stems:
            found[stem].add(str(number))
    common = sorted(((word, places) for word, places in found.items() if len(places) >= _LEAST_EXPERIENCES),
                    key=lambda item: (-len(item[1]), item[0]))
    return {word: frozenset(places) for word, places in common[:_MOST_WORDS]}


def _name(stem: str, spoken: dict[str, Counter[str]]) -> str:
    """The form that was said most."""
    return min(spoken[stem].items(), key=lambda item: (-item[1], item[0]))[0]


def _themes(kept: Sequence[Experience], where: dict[str, frozenset[str]], spoken: dict[str, Counter[str]]) -> list[dict]:
    groups: list[tuple[list[str], frozenset[str]]] = []
    for word, places in where.items():
        for number, (members, theirs) in enumerate(groups):
            if jaccard(places, theirs) >= _TOGETHER:
                groups[number] = ([*members, word], theirs | places)
                break
        else:
            groups.append(([word], places))
    themes = []
    for members, places in groups:
        items = [kept[int(number)] for number in places]
        themes.append({"words": [_name(word, spoken) for word in members[:6]], "experiences": len(items),
                       "sessions": len({item.session for item in items}),
                       "weight": round(sum(item.salience.get("total", 0.0) for item in items), 3),
                       "examples": [item.id for item in sorted(items, key=lambda item: item.id)[:3]]})
    return sorted(themes, key=lambda theme: (-theme["weight"], theme["words"]))


def _associations(kept: Sequence[Experience], held: Sequence[frozenset[str]], where: dict[str, frozenset[str]],
                  spoken: dict[str, Counter[str]]) -> list[dict]:
    """Pairs within one experience, from two sessions on, that meet more often than their words alone would."""
    together: Counter[tuple[str, str]] = Counter()
    sessions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item, stems in zip(kept, held, strict=True):
        for pair in combinations(sorted(stems & where.keys()), 2):
            together[pair] += 1
            sessions[pair].add(item.session)
    found = []
    for (left, right), both in together.items():
        if len(sessions[left, right]) < 2:
            continue
        strength = log_likelihood(both, len(where[left]), len(where[right]), len(kept))
        if strength >= _CHANCE and both * len(kept) > len(where[left]) * len(where[right]):
            found.append({"words": [_name(left, spoken), _name(right, spoken)], "experiences": both,
                          "sessions": len(sessions[left, right]), "log_likelihood": round(strength, 2)})
    return sorted(found, key=lambda item: (-item["log_likelihood"], item["words"]))


def log_likelihood(both: int, left: int, right: int, every: int) -> float:
    """G2 = 2 sum of O ln(O / E) over the table of two words in `every` experiences."""
    table = ((both, left - both), (right - both, every - left - right + both))
    total = 0.0
    for row in table:
        for column, observed in enumerate(row):
            expected = sum(row) * sum(line[column] for line in table) / every
            total += observed * math.log(observed / expected) if observed > 0 and expected > 0 else 0.0
    return 2 * total


def _qualities(kept: Sequence[Experience], broken: Sequence[Experience]) -> list[dict]:
    """Mean of each dimension in answers that held minus in those that broke, with Welch's 95 % interval; none for a few."""
    if min(len(kept), len(broken)) < _LEAST_EACH:
        return []
    rows = []
    for name in DIMENSIONS:
        sides = [[item.salience[name] for item in group if name in item.salience] for group in (kept, broken)]
        if min(map(len, sides)) < _LEAST_EACH:
            continue
        means = [sum(side) / len(side) for side in sides]
        spread = math.sqrt(sum(sum((value - mean) ** 2 for value in side) / (len(side) - 1) / len(side)
                               for side, mean in zip(sides, means, strict=True)))
        gap = means[0] - means[1]
        rows.append({"name": name, "held": round(means[0], 4), "broke": round(means[1], 4), "low": round(gap - 1.96 * spread, 4),
                     "high": round(gap + 1.96 * spread, 4), "n": [len(side) for side in sides]})
    return rows
