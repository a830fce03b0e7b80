"""Text that does not belong: another script or language than its conversation's, code that nobody asked for."""
from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache

from edge_sleep.data.experience import Exchange
from edge_sleep.data.phrases import found as mentions
from edge_sleep.data.phrases import function_words
from edge_sleep.data.quality.finding import Finding, QuarantineReason, quote
from edge_sleep.data.words import words

_LETTERS = 12                             # letters of a script before it can be out of place
_JUDGED_WORDS = 15                        # words an answer needs before its language is judged
_DENSITY = 0.25                           # share of function words that tells a language; prose has 0.35 to 0.5
_ELSEWHERE = 0.12                         # share of the conversation's own function words below which it is not its language
_CODE_LINES = 3
_CODE = re.compile(
    r"""^\s*(?:(?:async\s+)?def\s+\w+\s*\(.*\)\s*(?:->.*)?:|class\s+\w+.*[:{]\s*$|(?:from\s+[\w.]+\s+)?import\s+[\w.,*\s{}]+;?\s*$
    |\#include\s*[<"]|(?:public|private|static|void|int|const|let|var)\s+[\w<>\[\]\s]+(?:=|\().*|return\b.*[;)\]\w]\s*$
    |(?:if|for|while|elif|else|try|except)\b.*:\s*$|(?:if|for|while)\s*\(.*\)\s*\{?\s*$|\w[\w.\[\]]*\s*(?:[-+*/]?=)\s*\S.*[)\];\d'"]\s*$
    |\w[\w.]*\(.*\);?\s*$|[{}\])]+[;,]?\s*$|SELECT\s.+\sFROM\s|</?\w+[^>]*>\s*$|\$\s\w+)""", re.VERBOSE)
_CODE_INSIDE = re.compile(r"\w\.\w+\(|\w\(\w*\)|[;}]\s*$|;\s\w|[=!]=|\w\[\w+\]", re.MULTILINE)
_FENCE = re.compile(r"^\s*```", re.MULTILINE)


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    name = unicodedata.name(character, "").partition(" ")[0]
    return "EAST ASIAN" if name in ("CJK", "HIRAGANA", "KATAKANA", "FULLWIDTH", "HALFWIDTH") else name


def scripts(text: str) -> Counter[str]:
    """Letters per script: LATIN, CYRILLIC, GREEK, ARABIC, HANGUL, EAST ASIAN, ..."""
    if text.isascii():
        return Counter({"LATIN": len(text)})
    counts: Counter[str] = Counter()
    for character, times in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += times
    return counts


def _languages(tokens: tuple[str, ...]) -> dict[str, float]:
    """Share of the words that are each language's function words."""
    return {name: sum(map(listed.__contains__, tokens)) / len(tokens) for name, listed in function_words().items()}


@cache
def _any_language() -> frozenset[str]:
    return frozenset().union(*function_words().values())


def _asked_by(exchange: Exchange) -> str:
    """What the person said in this conversation: where another language or code may have been asked for."""
    return "\n".join([message["content"] for message in exchange.context if message["role"] != "assistant"] + [exchange.prompt])


def foreign_language(exchange: Exchange, share: float) -> Finding | None:
    """More than `share` (0 to 1) of its letters in a script that the person never used, or wholly another language.

    Not where the person speaks of languages or translation: then it was asked for.
    """
    script = None if exchange.response.isascii() else _foreign_script(exchange, share)
    found = script or _foreign_words(exchange)
    return None if found is None or mentions("languages", words(_asked_by(exchange))) else found


def _foreign_script(exchange: Exchange, share: float) -> Finding | None:
    letters = scripts(exchange.response)
    for script, count in letters.most_common():
        if (script != "LATIN" and count >= _LETTERS and count > share * letters.total()
                and not scripts(_asked_by(exchange))[script]):
            return Finding(QuarantineReason.FOREIGN_LANGUAGE,
                           f"{count / letters.total():.0%} {script.lower()} letters: {quote(exchange.response)}")
    return None


def _foreign_words(exchange: Exchange) -> Finding | None:
    tokens = words(exchange.response)
    if len(tokens) < _JUDGED_WORDS:
        return None
    # An English answer to an English prompt is the usual case, and the cheapest to see.
    english = function_words()["english"]
    asked = words(exchange.prompt)
    if (sum(map(english.__contains__, asked)) >= _DENSITY * len(asked)
            and sum(map(english.__contains__, tokens)) > _ELSEWHERE * len(tokens)):
        return None
    if sum(map(_any_language().__contains__, tokens)) < _DENSITY * len(tokens):
        return None
    answered = _languages(tokens)
    mine = max(answered, key=answered.__getitem__)
    if answered[mine] < _DENSITY:
        return None
    theirs = words(_asked_by(exchange))
    spoken = _languages(theirs)
    own = max(spoken, key=spoken.__getitem__)
    if mine == own or spoken[own] < _DENSITY or answered[own] > _ELSEWHERE:
        return None
    return Finding(QuarantineReason.FOREIGN_LANGUAGE, f"{mine} in a conversation in {own}: {quote(exchange.response)}")


def unasked_code(exchange: Exchange, share: float) -> Finding | None:
    """More than `share` (0 to 1) of its lines are code, three at least, where the person never spoke of code."""
    response = exchange.response
    if response.count("\n") < _CODE_LINES - 1:
        return None
    lines = [line for line in response.splitlines() if line.strip()]
    code = [line for line in lines if _CODE.match(line) and not line.lstrip().startswith(("-", "*", "#", ">"))
            or line.lstrip().startswith("#include")]
    fenced = len(_FENCE.findall(response)) >= 2
    if len(code) < (1 if fenced else _CODE_LINES) or len(code) <= share * len(lines):
        return None
    asked = _asked_by(exchange)
    if mentions("code", words(asked)) or _CODE_INSIDE.search(asked) or any(map(_CODE.match, asked.splitlines())):
        return None
    return Finding(QuarantineReason.UNASKED_CODE, f"{len(code)} of {len(lines)} lines are code: {quote(code[0])}")
