"""As much grammar as rewording needs: is it a question, its indirect clause, a first letter that may be lowered."""
from __future__ import annotations

import re

from edge_sleep.data.augment.facts import SAFE_FIRST, expand_is

# A bare auxiliary could be a name ("Will is my brother"), so it needs its subject beside it.
_ASKS = re.compile(r"(?:what|who|whom|whose|which|where|when|why|how)\b|(?:is|are|am|was|were|do|does|did|has|have|had|"
                   r"can|could|will|would|shall|should|may|might) (?:i|you|he|she|it|we|they|my|your|our|his|her|their|"
                   r"the|there|this|that)\b", re.IGNORECASE)
_BE = re.compile(r"(?P<ask>(?:what|who|where|when|how(?: old| tall| far| big| long| many years old)?|which)(?: \w+)?) "
                 r"(?P<be>is|are|was|were) (?P<rest>(?:my|your|our|his|her|their|the) [^,;:?]+)\?", re.IGNORECASE)
# With these subjects the verb keeps its form when "do" goes.
_DO = re.compile(r"(?P<ask>(?:what|who|where|when|why|how|which)(?: \w+)?) do (?P<rest>(?:I|you|we|they) [^,;:?]+)\?",
                 re.IGNORECASE)
_NOT_PLAIN = re.compile(r"\b(?:do|does|did|and|or|but|not|never|if|because|what|who|where|when|why|how|which|that)\b",
                        re.IGNORECASE)
# A clause, a participle or a second verb inside the noun phrase would land before the verb: "who my sister living is".
_NOT_A_NOUN = re.compile(r"\b(?:\w+(?:ing|ed)|and|or|but|that|which|who|when|if|because|to|not|going|like|made|called|doing)\b",
                         re.IGNORECASE)
_NOUN_WORDS = 6


def is_question(text: str) -> bool:
    """Whether a prompt asks: it ends with a question mark, or begins as questions begin."""
    stripped = text.strip()
    return stripped.endswith(("?", "？")) or bool(_ASKS.match(stripped))


def lowered(text: str) -> str:
    """The text with a lower first letter, where the first word cannot be a name."""
    first = text.split(maxsplit=1)[0].rstrip(",.:;!?").replace("’", "'")
    return text[0].lower() + text[1:] if first.lower() in SAFE_FIRST else text


def indirect_clause(text: str) -> str | None:
    """"What is my sister's name?" -> "what my sister's name is"; None where the grammar is not certain."""
    found = _BE.fullmatch(expand_is(text.strip()))
    if not found or len(found["rest"].split()) > _NOUN_WORDS or _NOT_A_NOUN.search(found["rest"]):
        return None
    if len(found["ask"].split()) > 1 and not found["ask"].lower().startswith(("how", "what", "which")):
        return None
    return f"{found['ask'][0].lower()}{found['ask'][1:]} {found['rest'].strip()} {found['be']}"


def reported_clause(text: str) -> str | None:
    """As `indirect_clause`, and "Where do I live?" -> "where I live" as well."""
    found = _DO.fullmatch(text.strip())
    if found and len(found["rest"].split()) > 1 and not _NOT_PLAIN.search(found["rest"]):
        return f"{found['ask'][0].lower()}{found['ask'][1:]} {found['rest'].strip()}"
    return indirect_clause(text)
