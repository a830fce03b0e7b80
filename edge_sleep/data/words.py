"""How text is cut into words and sentences: one rule for scoring, judging and selecting."""
from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from functools import lru_cache

# A CJK character counts as a word: those scripts put no spaces between words.
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯]|\w+(?:['’]\w+)*")
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？]+[\"'”’)\]*_]*|[^.!?。！？\n]+")

# Function words carry no topic: two prompts that share only these are unrelated.
STOP = frozenset(
    """a an the of in on at to for from by with as and or but if so than then too also very just really about into
    is are am was were be been being do does did have has had can could should would will may might shall must not no
    i me my mine myself you your yours yourself he him his she her hers it its they them their we us our ours
    this that these those there here who whom whose what which when where why how any some more most
    please tell say well now hello hi hey good today what's i'm you're it's that's don't let's""".split())


@lru_cache(maxsize=256)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words in order; apostrophes stay inside a word."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


@lru_cache(maxsize=256)
def sentences(text: str) -> tuple[str, ...]:
    """Sentences and lines that hold at least one word, stripped."""
    return tuple(part for raw in _SENTENCE.findall(text) if _WORD.search(part := raw.strip()))


def content_words(text: str) -> frozenset[str]:
    return frozenset(words(text)) - STOP


@lru_cache(maxsize=256)
def normalised(text: str) -> str:
    """Words joined by single spaces: equal for texts that differ in case, punctuation and spacing only."""
    return " ".join(words(text))


def ngrams(tokens: tuple[str, ...], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


_RUN = 5                                  # words in a run that is fingerprinted
_WINDOW = 8                               # runs of which one fingerprint is kept
_BITS = 0xFFFFFFFF
_STEM = 5                                 # letters: garden, gardens and gardening are one stem


@lru_cache(maxsize=1 << 15)
def mark(text: str) -> int:
    """A 32-bit fingerprint that is the same in every process (unlike `hash`)."""
    return zlib.crc32(text.encode())


@lru_cache(maxsize=16)
def word_marks(text: str) -> tuple[int, ...]:
    """The mark of each word, in order."""
    return tuple(map(mark, words(text)))


@lru_cache(maxsize=16)
def pair_marks(text: str) -> tuple[int, ...]:
    """A 32-bit mark of each two neighbouring words, in order. Small factors keep the sums within a machine word."""
    marks = word_marks(text)
    return tuple([3 * left + right & _BITS for left, right in zip(marks, marks[1:], strict=False)])


@lru_cache(maxsize=16)
def fingerprints(text: str) -> tuple[int, ...]:
    """Distinct marks of 5-word runs, the least of every 8 neighbouring ones (winnowing).

    Two long texts that share 12 words in a row share a fingerprint, and about 2/9 of the runs are kept;
    shorter texts keep more of them (least of 4, 2 or 1), so that one common phrase is never the whole.
    """
    marks = word_marks(text)
    if len(marks) < _RUN:
        return ()
    pairs = pair_marks(text)
    runs = [first + 7 * second + 5 * last & _BITS
            for first, second, last in zip(pairs, pairs[2:], marks[4:], strict=False)]
    window = _WINDOW
    while window > 1 and len(runs) < 4 * window:
        window //= 2
    if window == 1:
        return tuple(dict.fromkeys(runs))
    return tuple(dict.fromkeys(map(min, *(runs[start:len(runs) - window + 1 + start] for start in range(window)))))


def stem(word: str) -> int:
    """The mark of a word's beginning: forms of one word meet, and so do some strangers."""
    return mark(word[:_STEM])


def stems(text: str) -> frozenset[int]:
    return frozenset([mark(word[:_STEM]) for word in words(text)])


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """|A and B| / |A or B| in [0, 1]; 1 for two empty sets."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def topic(text: str) -> frozenset[str]:
    """Content words without possessive endings: "my sister's name" and "my sister" share a word."""
    return frozenset(word.removesuffix("'s") for word in content_words(text))


def near(question: str, taught: Iterable[frozenset[str]]) -> bool:
    """Whether a question asks what was taught (given as topics): one topic holds the whole of the other.

    Sharing most words is not enough: "my uncle's favourite food" beside a taught "my teacher's favourite
    food" is what a companion must keep apart, and the most useful thing to rehearse.
    """
    asked = topic(question)
    return any(asked and other and (asked <= other or other <= asked) for other in taught)
