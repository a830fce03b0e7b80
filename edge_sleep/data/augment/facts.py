"""What no rewording may change: numbers, names, negations; and, for frames, every word that was there."""
from __future__ import annotations

import re

from edge_sleep.data.augment.wordings import BROUGHT
from edge_sleep.data.words import normalised

NEGATIONS = frozenset("no not never none nobody nothing neither nor nowhere without cannot".split())
# Only these first words may lose their capital letter: anything else could be a name.
SAFE_FIRST = frozenset("""what what's who who's whom whose which where where's when why how is are am was were do does did
    has have had can could would shall should tell say please describe explain name list give write my your
    our the a an this that these those in on at for if and count repeat""".split())
_S = re.compile(r"\b(what|who|where|how)'s\b", re.IGNORECASE)


def facts(text: str) -> tuple[list[str], list[str], list[str]]:
    """Numbers, capitalised words that no move brings, negations; each sorted."""
    tokens = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text)
    numbers = [token for token in tokens if any(letter.isdigit() for letter in token)]
    names = [re.sub(r"['’]s$", "", token) for token in tokens
             if token[0].isupper() and token.lower().replace("’", "'") not in SAFE_FIRST | BROUGHT]
    negations = [token.lower() for token in tokens
                 if token.lower() in NEGATIONS or token.lower().replace("’", "'").endswith("n't")]
    return sorted(numbers), sorted(names), sorted(negations)


def same_facts(original: str, candidate: str) -> bool:
    """Whether numbers, names and negations are the same."""
    return facts(original) == facts(candidate)


def keeps_every_word(original: str, candidate: str) -> bool:
    """Whether every word of the original is still there, contractions written out."""
    kept = set(normalised(_expanded(candidate)).split())
    return set(normalised(_expanded(original)).split()) <= kept


def _expanded(text: str) -> str:
    return re.sub(r"\bI'm\b", "I am", expand_is(text))


def expand_is(text: str, count: int = 0) -> str:
    """"What's" as "What is"; count 0 means all of them."""
    return _S.sub(lambda found: found.group(1) + " is", text.replace("’", "'"), count=count)
