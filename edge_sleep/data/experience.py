"""The words of the data floor: exchange, experience, example. Plain values, no behaviour."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypedDict


class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


def exchange_id(prompt: str, response: str) -> str:
    """Content address of an exchange: the same words are the same exchange, whatever file they came from."""
    return hashlib.sha256(f"{prompt}\0{response}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Exchange:
    """One prompt and the answer to it, as found in a transcript."""

    prompt: str
    response: str
    turn: int = 0
    context: tuple[Message, ...] = ()     # what was said before, oldest first
    at: str | None = None                 # ISO 8601, as the transcript has it
    labels: dict = field(default_factory=dict)  # the track's own judgement, where it has one
    address: str | None = None            # its id where it is not that of these words (data/masking.py)

    @cached_property
    def id(self) -> str:
        return self.address or exchange_id(self.prompt, self.response)


@dataclass(frozen=True)
class Session:
    """One recorded conversation. `id` is content-addressed: session numbers are re-used upstream."""

    id: str
    source: str
    kind: str                              # name of the shape that was recognised
    exchanges: tuple[Exchange, ...]
    number: str | None = None
    started: str | None = None
    model: str | None = None
    phase: str | None = None
    stamp: dict = field(default_factory=dict)  # `edge_sleep` stamp, where the session carries one


@dataclass(frozen=True)
class Experience:
    """An exchange that was scored and kept (or quarantined, with the reason)."""

    id: str
    prompt: str
    response: str
    session: str
    salience: dict[str, float]             # surprise, novelty, arousal, reward, conflict, total
    status: Literal["kept", "quarantined", "evicted"] = "kept"
    reason: str | None = None
    trimmed: bool = False                  # cut at its last whole sentence: must not teach an end of turn
    trained_in: tuple[str, ...] = ()
    context: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Example:
    """One conversation to train on, still as text. Loss falls on the last assistant message only."""

    messages: tuple[Message, ...]
    weight: float                          # attention between examples; normalised over the night
    origin: Literal["new", "earlier", "replay"]
    source: str                            # experience id, or the replay set's name and line
    teaches_end: bool = True               # false where the answer was cut
    epoch: int | None = None               # the one epoch that sees it; None: every epoch
    move: str | None = None                # the rewording or transform that made it; None: as it was said
