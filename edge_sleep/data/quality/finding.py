"""What a refusal says: a stable reason, and the evidence in the words or numbers that decided."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_EVIDENCE = 160                           # characters of text quoted as evidence


class QuarantineReason(str, Enum):
    EMPTY = "empty"
    PLACEHOLDER = "placeholder"
    LOOP = "loop"
    REPETITION = "repetition"             # nearly an earlier answer, to an unrelated prompt
    REGURGITATION = "regurgitation"       # a mosaic of text said to many unrelated prompts, or of a known corpus
    QUESTION_FLOOD = "question_flood"
    ROLE_INVERSION = "role_inversion"
    PROMPT_ECHO = "prompt_echo"
    TRUNCATED = "truncated"
    EDUCATIONAL_DEFAULT = "educational_default"
    CONFABULATED_HISTORY = "confabulated_history"
    FOREIGN_LANGUAGE = "foreign_language"
    UNASKED_CODE = "unasked_code"
    COLLAPSED_SESSION = "collapsed_session"   # nearly every other answer of its session was a collapse
    REJECTED_TWICE = "rejected_twice"     # part of two nights whose candidate was rejected
    BY_HAND = "by_hand"                   # a person said so
    CORRECTED = "corrected"               # a person taught another answer instead
    OTHER_MODEL = "other_model"           # another model's words (companion.models)


# Signs that the model, and not the answer, had broken down: enough of them condemn a session.
COLLAPSES = frozenset(reason.value for reason in (
    QuarantineReason.LOOP, QuarantineReason.REPETITION, QuarantineReason.REGURGITATION, QuarantineReason.QUESTION_FLOOD,
    QuarantineReason.ROLE_INVERSION, QuarantineReason.PROMPT_ECHO))


@dataclass(frozen=True)
class Finding:
    reason: QuarantineReason
    evidence: str


def quote(text: str) -> str:
    flat = " ".join(text.split())
    return f'"{flat}"' if len(flat) <= _EVIDENCE else f'"{flat[:_EVIDENCE]}..."'
