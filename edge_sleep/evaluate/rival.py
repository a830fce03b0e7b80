"""The free alternative to a night: the base, untrained, with the experiences that fit a question put before it.

If this answers as well, an owner need not train; so its numbers stand beside the night's. It is asked what the gate asked of
the candidate, with retrieved experiences as earlier turns of the conversation, which any chat model can read. It judges nothing.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edge_sleep.data.experience import Experience, Message
from edge_sleep.evaluate import scoring
from edge_sleep.evaluate.gate import paired_interval
from edge_sleep.evaluate.marking import Asked

KINDS = ("recall", "unknowns")
MEMORIES = 3                           # experiences before a question


def with_memories(question: Sequence[Message], memories: Sequence[Experience]) -> tuple[Message, ...]:
    """The question with what was remembered as turns before it, the best match last, where a small model attends most."""
    turns: list[Message] = []
    for item in reversed(memories):
        turns += [{"role": "user", "content": item.prompt}, {"role": "assistant", "content": item.response}]
    return (*turns, *question)


def compete(asked: Sequence[Asked], recall: Callable[[str], Sequence[Experience]],
            answer: Callable[[Sequence[Sequence[Message]]], Sequence[tuple[str, bool]] | None]) -> dict[str, Any] | None:
    """What the rival made of the gate's questions about what was taught, and of those that nobody could know.

    asked: the gate's, with the candidate's marks. recall(question): experiences that fit. answer(conversations): the base's
    answers, None where the time ran out; then there is no rival tonight. Each metric: its share right, the candidate's on
    the same questions, and the 95 % interval of candidate minus rival.
    """
    chosen = [entry for entry in asked if entry.probe.kind in KINDS]
    if not chosen:
        return None
    said = answer([with_memories(entry.probe.messages, recall(entry.probe.messages[-1]["content"])) for entry in chosen])
    if said is None:
        return None
    metrics = {}
    for kind in KINDS:
        pairs = [(float(scoring.is_right(entry.probe, text, entry.answers["base"])), float(entry.right["after"]))
                 for entry, (text, _) in zip(chosen, said, strict=True) if entry.probe.kind == kind]
        if pairs:
            theirs, ours = zip(*pairs, strict=True)
            low, high = paired_interval(theirs, ours)
            metrics[kind] = {"rival": sum(theirs) / len(pairs), "candidate": sum(ours) / len(pairs), "low": low, "high": high,
                             "n": len(pairs)}
    return {"method": f"the base with {MEMORIES} experiences found by BM25 before each question", "metrics": metrics}
