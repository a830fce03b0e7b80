"""How near two wordings are: the rule that keeps a held-out question from being a taught one in disguise."""

import re
from collections.abc import Iterable
from functools import cache

from edge_sleep.seedling.phrases import listed

SHARED_JACCARD = 0.5

# Function words and the frames of a request carry no meaning that could give an answer away.
_STOP = frozenset(
    listed("""
    a an the of in on at to for from by with as and or but if so is are am was were be been being do
    does did have has had i me my mine you your yours he she it its they them their who whom whose what
    which when where why how that this these those there here would could should can may might will
    shall not no please tell say well now just me one any some than then too also
    """)
)


def words(text: str) -> list[str]:
    """Lower-case words; a possessive counts as its noun, so that "sister's" and "sister" are one word."""
    return (
        re.sub(r"'s\b|'(?=\s|$)", "", text.lower().replace("’", "'")).replace("-", " ").translate(_PUNCTUATION).split()
    )


_PUNCTUATION = {ord(c): " " for c in '.,;:!?"()[]{}…'}


@cache
def content_words(text: str) -> frozenset[str]:
    return frozenset(w for w in words(text) if w not in _STOP)


@cache
def four_grams(text: str) -> frozenset[tuple[str, ...]]:
    w = words(text)
    return frozenset(tuple(w[i : i + 4]) for i in range(len(w) - 3))


def shares_four_gram(a: str, b: str) -> bool:
    return not four_grams(a).isdisjoint(four_grams(b))


def jaccard(a: str, b: str) -> float:
    """Overlap of the content words, 1.0 when both texts have none."""
    x, y = content_words(a), content_words(b)
    return len(x & y) / len(x | y) if x | y else 1.0


class Said:
    """Everything that was said, so that many questions can be held against it quickly."""

    def __init__(self, texts: Iterable[str], frames: Iterable[str] = ()):
        """`frames` are openings that training may put before a question ("Remind me, ...")."""
        texts = list(dict.fromkeys(texts))
        framed = [f + t for t in texts if t.endswith("?") for f in frames]
        self._four_grams = {g for t in texts + framed for g in four_grams(t)}
        self._contents = {content_words(t) for t in texts}

    def allows(self, question: str) -> bool:
        """True when the question may be asked as a held-out one about what was said."""
        if not self._four_grams.isdisjoint(four_grams(question)):
            return False
        mine = content_words(question)
        return bool(mine) and all(len(mine & c) <= SHARED_JACCARD * len(mine | c) for c in self._contents)
