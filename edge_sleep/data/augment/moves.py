"""The moves that change words: register, synonyms, the order of sentences, a situation, a standpoint.

Each gives its candidates for a prompt, none where it is not certain; `rewording` checks and chooses.
"""
from __future__ import annotations

import random
import re

from edge_sleep.data.augment.facts import expand_is
from edge_sleep.data.augment.grammar import is_question, reported_clause
from edge_sleep.data.augment.wordings import FORMAL_CASUAL, SITUATIONS, STANDPOINTS, SYNONYMS, TO_CASUAL
from edge_sleep.data.words import content_words, sentences

# A prompt about words themselves ("How do you spell ...", anything quoted) keeps each of them.
_ABOUT_WORDS = re.compile(r"[\"“”„«»`*_]|(?<!\w)'|\b(?:words?|letters?|spell\w*|rhym\w+|synonyms?|opposites?|mean|means|meant|"
                          r"meaning|translate|translation|sentences?|repeat|say|says|said|called|capitals?|verbs?|nouns?|"
                          r"plural|tense|pronounce\w*|english|(?:at|by and) large)\b", re.IGNORECASE)
_CONTRACTED = ((re.compile(r"\bI'm (?=\w)"), "I am "), (re.compile(r"\b([Yy]ou|[Ww]e|[Tt]hey)'re (?=\w)"), r"\1 are "),
               (re.compile(r"\b(I|[Yy]ou|[Ww]e|[Tt]hey)'ve (?=\w)"), r"\1 have "),
               (re.compile(r"\b(I|[Yy]ou|[Ww]e|[Tt]hey)'ll (?=\w)"), r"\1 will "))
_IS = re.compile(r"\b(what|who|where|how) is (?=(?:my|your|our|his|her|their|the|a|an|this|that)\b)", re.IGNORECASE)
_S_IS = re.compile(r"\b(?:what|who|where|how)['’]s (?=(?:my|your|our|his|her|their|the|a|an|this|that)\b)", re.IGNORECASE)
# Only where "can you" asks for something: "Can you swim?" asks about a skill.
_TELLING = r"(?=(?:tell|explain|give|show|help|write|list|describe|remind|read)\b)"
_CAN_YOU = re.compile(rf"^can you {_TELLING}", re.IGNORECASE)
_COULD_YOU = re.compile(rf"^could you (?:please )?{_TELLING}", re.IGNORECASE)

# Sentences that lean on their neighbours, or that tell what happened in its order, stay where they are.
_LEANS = re.compile(r"\b(?:he|she|it|its|they|them|their|theirs|his|her|hers|him|this|that|these|those|here|there|then|so|but|"
                    r"and|or|also|too|now|first|second|third|next|last|finally|before|after|later|earlier|again|however|"
                    r"therefore|because|instead|otherwise|still|yet|one|ones|other|others|another|same|such|both|above|"
                    r"below|former|latter|following|previous|today|tomorrow|yesterday|i'm)\b", re.IGNORECASE)
_PRESENT = re.compile(r"\b(?:is|are|am|has|have|likes?|loves?|lives?|works?|wants?|needs?|owns?|plays?|speaks?|knows?)\b")
_PAST = re.compile(r"\b(?:was|were|had|did|went|came|got|made|took|said|told|saw|gave|\w{3,}ed)\b")


def register(text: str, generator: random.Random) -> list[str]:
    """Formality shift: the same request written out, and in easy words."""
    if _ABOUT_WORDS.search(text):
        return []
    plain = text.replace("’", "'")
    formal = expand_is(plain) if _S_IS.search(plain) else plain
    for pattern, written in _CONTRACTED:
        formal = pattern.sub(written, formal)
    formal = _CAN_YOU.sub("Could you please ", formal)
    casual = _IS.sub(lambda found: f"{found[1]}'s ", text)
    casual = _COULD_YOU.sub("Can you ", casual)
    for stately, easy in FORMAL_CASUAL:
        formal = _swap(formal, easy, stately)
        if stately in TO_CASUAL:
            casual = _swap(casual, stately, easy)
    return [candidate for candidate in (formal, casual) if candidate not in (text, plain)]


def synonyms(text: str, generator: random.Random) -> list[str]:
    """One word at a time for another that means the same, then all of them at once."""
    if _ABOUT_WORDS.search(text):
        return []
    changed = {word: candidate for word in SYNONYMS if (candidate := _swap(text, word, SYNONYMS[word])) != text}
    candidates = list(changed.values())
    generator.shuffle(candidates)
    if len(changed) > 1:
        # In one pass: "sofa" becomes "couch", and not back again.
        every = "|".join(map(re.escape, changed))
        candidates.append(re.sub(rf"(?<![\w'’-])(?:{every})(?![\w'’-])", lambda hit: SYNONYMS[hit[0]], text))
    return candidates


def _swap(text: str, old: str, new: str) -> str:
    """Whole lower-case words only, not parts of hyphenated or possessive ones; "a" before a vowel is left alone."""
    article = re.search(rf"\ban? {re.escape(old)}\b", text)
    if article and (old[0] in "aeiou") != (new[0] in "aeiou"):
        return text
    return re.sub(rf"(?<![\w'’-]){re.escape(old)}(?![\w'’-])", new, text)


def reorder(text: str, generator: random.Random) -> list[str]:
    """Statements before a question (or among themselves) in another order, where none leans on another."""
    parts = list(sentences(text))
    last = parts.pop() if parts and parts[-1].endswith(("?", "？")) else None
    if not 2 <= len(parts) <= 5 or "\n" in text or " ".join([*parts, *([last] if last else [])]) != text.strip():
        return []
    if last and not is_question(last):
        return []
    if any(not part.endswith(".") or _LEANS.search(part) or _PAST.search(part) or not _PRESENT.search(part) for part in parts):
        return []
    if last and _LEANS.search(last):
        return []
    orders = [[*parts[place:], *parts[:place]] for place in range(1, len(parts))]
    generator.shuffle(orders)
    return [" ".join([*order, *([last] if last else [])]) for order in orders]


def situation(text: str, generator: random.Random) -> list[str]:
    """Context injection: a moment around the question that says nothing about it."""
    if not is_question(text):
        return []
    asked = content_words(text)
    fitting = [frame.format(Q=text) for frame in SITUATIONS if not asked & content_words(frame.replace("{Q}", ""))]
    generator.shuffle(fitting)
    return fitting


def standpoint(text: str, generator: random.Random) -> list[str]:
    """Perspective shift: the same question from another standpoint of the same two people."""
    clause = reported_clause(text)
    if clause is None:
        return []
    shifted = [frame.format(i=clause) for frame in STANDPOINTS]
    generator.shuffle(shifted)
    return shifted


MOVES = {"register": register, "synonym": synonyms, "order": reorder, "situation": situation, "standpoint": standpoint}
