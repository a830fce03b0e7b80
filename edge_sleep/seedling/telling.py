"""Conversations in which a person teaches, in SAGE's transcript format, and how to ask about it later."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from edge_sleep.seedling import talk
from edge_sleep.seedling.grammar import (
    ATTRIBUTES,
    asked,
    draw_statement,
    expand,
    question,
)
from edge_sleep.seedling.phrases import FRAMES, SHORT_FRAMES
from edge_sleep.seedling.wording import Said
from edge_sleep.seedling.world import BY_KEY, answer

Fact = tuple[str, str, str]


@dataclass
class Taught:
    """What a fact's lesson said: exchanges of (person, companion), the telling first."""

    fact: Fact
    exchanges: list[tuple[str, str]] = field(default_factory=list)


def teach(rng: random.Random, fact: Fact, asks: int) -> Taught:
    """Tell the fact once, ask it in `asks` wordings that pretraining knows, each of another pattern."""
    entity, key = BY_KEY[fact[0]], fact[1]
    told = draw_statement(rng, key, entity.forms(rng.choice(entity.phrases)), fact[2])
    reply = answer(entity, key, fact[2])
    taught = Taught(fact, [(told, f"{reply} I will remember that.")])
    for i, pattern in enumerate(rng.sample(ATTRIBUTES[key].ask, asks)):
        phrase = entity.phrases[0] if i == 0 else rng.choice(entity.phrases)
        taught.exchanges.append((question(rng.choice(expand(pattern)), entity.forms(phrase)), reply))
    return taught


def ask_later(rng: random.Random, fact: Fact, said: Said, count: int, new: bool) -> list[str]:
    """Questions about the fact that keep the held-out rule against everything said.

    `new` wordings were reserved from pretraining; the others pretraining may have used.
    """
    entity, key = BY_KEY[fact[0]], fact[1]
    patterns = list(ATTRIBUTES[key].new if new else rng.sample(asked(key), min(40, len(asked(key)))))
    rng.shuffle(patterns)
    found: list[str] = []
    # First each wording once, then again with other words for the same person.
    for attempt in range(4):
        for pattern in patterns:
            phrase = (
                rng.choice(entity.phrases)
                if attempt
                else entity.phrases[0]
                if rng.random() < 0.6
                else rng.choice(entity.phrases)
            )
            text = question(pattern, entity.forms(phrase), rng.choice(SHORT_FRAMES) if rng.random() < 0.3 else ("", ""))
            if text not in found and said.allows(text):
                found.append(text)
            if len(found) == count:
                return found
    return found


def everything_said(lessons: list[Taught]) -> Said:
    """All wordings of the lessons, and those that framing a taught question makes of them."""
    texts = [text for t in lessons for exchange in t.exchanges for text in exchange]
    return Said(texts, [before for before, _ in FRAMES if before])


def transcript(number: int, start: datetime, exchanges: list[tuple[str, str]], phase: str = "grounding") -> dict:
    """One session as SAGE records it."""
    conversation = []
    for person, companion in exchanges:
        conversation += [{"speaker": "Teacher", "text": person}, {"speaker": "SAGE", "text": companion}]
    end = start + timedelta(seconds=40 * len(exchanges))
    return {
        "session": number, "phase": phase, "generation_mode": "sample", "start": start.isoformat(),
        "end": end.isoformat(), "turns": len(exchanges), "conversation": conversation,
    }  # fmt: skip


def lesson_sessions(
    rng: random.Random, lessons: list[Taught], first: int, start: datetime, facts_each: int = 4
) -> list[dict]:
    """Sessions of a few facts each, told and asked in mixed order, between a greeting and a farewell."""
    sessions = []
    for n, at in enumerate(range(0, len(lessons), facts_each)):
        queues = [list(t.exchanges) for t in lessons[at : at + facts_each]]
        body = []
        while any(queues):
            queue = rng.choice([q for q in queues if q])
            body.append(queue.pop(0))
        hello = (talk.dress(rng, rng.choice(talk.TALK[0][0])), talk.TALK[0][1])
        bye = (talk.dress(rng, rng.choice(talk.TALK[6][0])), talk.TALK[6][1])
        sessions.append(transcript(first + n, start + timedelta(minutes=37 * n), [hello, *body, bye]))
    return sessions


def morning(day: int, hour: int = 9) -> datetime:
    """A fixed calendar for written sessions, so that the same seed writes the same files."""
    return datetime(2026, 3, 2, hour, tzinfo=timezone.utc) + timedelta(days=day)
