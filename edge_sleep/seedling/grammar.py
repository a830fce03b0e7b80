"""From patterns to wordings: expansion, agreement and framing of questions and statements."""

import itertools
import random
import re
from dataclasses import dataclass
from functools import cache

from edge_sleep.seedling import phrases


@dataclass(frozen=True)
class Attribute:
    key: str
    noun: str
    phrase: str
    values: tuple[str, ...]
    ask: tuple[str, ...]
    new: tuple[str, ...]
    tell: tuple[str, ...]


def _attribute(key: str) -> Attribute:
    noun, phrase, *blocks = phrases.PHRASES[key]
    lines = [tuple(b.strip().splitlines()) for b in blocks]
    values = tuple(v.replace("-", " ") for v in phrases.VALUES[key].split())
    return Attribute(key, noun, phrase, values, *lines)


ATTRIBUTES = {key: _attribute(key) for key in phrases.PHRASES}


@cache
def expand(pattern: str) -> tuple[str, ...]:
    """All choices of a pattern, in a fixed order; agreement slots stay open."""
    parts = [p[1:-1].split("|") if p.startswith("[") else [p] for p in re.split(r"(\[[^]]*\])", pattern)]
    return tuple(re.sub(r" +", " ", "".join(c)).strip() for c in itertools.product(*parts))


@cache
def asked(key: str) -> tuple[str, ...]:
    """Every question pattern that pretraining may use for this attribute."""
    return tuple(dict.fromkeys(w for p in ATTRIBUTES[key].ask for w in expand(p)))


def fill(pattern: str, forms: dict[str, str], value: str = "") -> str:
    return pattern.format(**forms, V=value)


def question(pattern: str, forms: dict[str, str], frame: tuple[str, str] = ("", "")) -> str:
    """A whole question: agreement, end mark, wrapping, capital."""
    text = fill(pattern, forms)
    text = text if text.endswith(".") else text + "?"
    # After a whole sentence the question starts anew.
    text = frame[0] + (text[:1].upper() + text[1:] if frame[0].endswith((". ", "! ")) else text) + frame[1]
    return text[:1].upper() + text[1:]


def indirect(pattern: str) -> str | None:
    """The clause that "tell me ..." takes: "what is X" becomes "what X is"."""
    match = re.fullmatch(r"(what|when|where) is (\{P\} .+|the .+)", pattern)
    return f"{match[1]} {match[2]} is" if match else None


def draw_question(rng: random.Random, key: str, forms: dict[str, str], framed: float = 0.4) -> str:
    """A question as pretraining asks it: patterns are equally likely, however many choices each holds."""
    pattern = rng.choice(expand(rng.choice(ATTRIBUTES[key].ask)))
    clause = indirect(pattern)
    if clause and rng.random() < 0.25:
        before, end = rng.choice(phrases.CLAUSE_FRAMES)
        return before + fill(clause, forms) + end
    roll = rng.random()
    frames = phrases.FRAMES if roll < framed else phrases.SHORT_FRAMES if roll < framed * 1.5 else [("", "")]
    text = question(pattern, forms, rng.choice(frames))
    # People type carelessly: now and then no capital, no mark.
    if rng.random() < 0.06:
        text = text[:1].lower() + text[1:]
    return text.rstrip("?") if rng.random() < 0.05 else text


def draw_statement(rng: random.Random, key: str, forms: dict[str, str], value: str, framed: bool = True) -> str:
    text = fill(rng.choice(ATTRIBUTES[key].tell), forms, value)
    text = (rng.choice(phrases.TELL_FRAMES) if framed else "") + text
    return text[:1].upper() + text[1:]
