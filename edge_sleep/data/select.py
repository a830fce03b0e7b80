"""Which experiences tonight learns from, which it rehearses, and which it must never see.

Pure given the buffer: the same store and seed give the same choice.
"""
from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from edge_sleep.data import candidates
from edge_sleep.data.buffer import TAUGHT, Buffer
from edge_sleep.data.candidates import Candidate
from edge_sleep.data.clusters import Clusters
from edge_sleep.data.experience import Experience

SESSIONS_TO_HOLD_OUT = 10                 # with fewer, a held-out session costs more than its number tells
RECENCY = 0.1                             # salience that the newest candidate gains over the oldest
HELD_OUT_READ = 256                       # the newest held-out experiences are read: the gate asks about fewer
_PART = 500                               # candidates whose prompts are read at once


@dataclass(frozen=True)
class Selection:
    new: list[Experience] = field(default_factory=list)        # untrained; learned tonight
    earlier: list[Experience] = field(default_factory=list)    # learned in earlier nights; rehearsal
    held_out: list[Experience] = field(default_factory=list)   # whole sessions kept from training
    reasons: dict[str, int | str] = field(default_factory=dict)


def is_held_out(session: str, share: float, seed: int) -> bool:
    """Whether a session belongs to the held-out share: by hash, so the answer never changes with the store."""
    digest = hashlib.sha256(f"{seed}:{session}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def select(buffer: Buffer, *, max_selected: int, per_prompt: int, held_out_share: float, seed: int) -> Selection:
    """Hold out whole sessions, then take what a person taught, and of the rest by turns the most salient and the newest.

    At most `per_prompt` of each cluster of nearly identical prompts. Rank of a candidate = total salience + RECENCY *
    (its place between the first and the last that arrived, in [0, 1]); equal ranks go to the newer. By turns, because a
    backlog of salient old talk must not keep what was said today waiting. The result keeps the order of arrival; what
    was taught is never held out. Candidates are read as far as they are needed, so where `max_selected` was reached
    `over_prompt_cap` is a lower bound, and `over_limit` counts the rest.
    """
    sessions = dict(buffer.rows("SELECT id, kind FROM sessions"))
    taught = {name for name, kind in sessions.items() if kind == TAUGHT}
    held: set[str] = set()
    if held_out_share > 0 and len(sessions) >= SESSIONS_TO_HOLD_OUT:
        held = {name for name in sessions if name not in taught
                and is_held_out(name, held_out_share, seed)} - buffer.trained_sessions()
    held_out = candidates.of_sessions(buffer, held)
    untrained, different, within = candidates.tally(buffer, per_prompt)
    chosen, crowded = _within_cap(buffer, _by_turns(buffer, taught, held), per_prompt, max_selected, different)
    free = untrained - len(held_out)
    if len(chosen) < max_selected:
        crowded = free - len(chosen)       # all were offered: nothing but the cap kept one out
    over_cap = max(crowded, min(free - len(chosen), untrained - within) if not held else 0)
    reasons: dict[str, int | str] = {
        "sessions": len(sessions), "untrained": untrained, "held_out_sessions": len(held),
        "held_out": len(held_out), "over_prompt_cap": over_cap,
        "over_limit": free - over_cap - len(chosen), "selected": len(chosen)}
    if held_out_share > 0 and not held:
        reasons["no_held_out"] = (f"{len(sessions)} session(s); from {SESSIONS_TO_HOLD_OUT} on some are held out"
                                  if len(sessions) < SESSIONS_TO_HOLD_OUT else "no untouched session fell in the share")
    return Selection(buffer.by_seqs(chosen), buffer.trained(),
                     buffer.by_seqs(one.seq for one in held_out[:HELD_OUT_READ]), reasons)


def _by_turns(buffer: Buffer, taught: Collection[str], held: Collection[str]) -> Iterator[Candidate]:
    """Candidates in the order they are offered, each once: those of taught sessions, then the best and the newest by turns."""
    seen = set()
    for one in candidates.of_sessions(buffer, taught):
        seen.add(one.seq)
        yield one
    best, newest = (filter(lambda one: one.session not in held, stream)
                    for stream in (_ranked(buffer), candidates.newest(buffer)))
    for pair in zip(best, newest, strict=True):      # both offer the same candidates, each in its own order
        for one in pair:
            if one.seq not in seen:
                seen.add(one.seq)
                yield one


def _ranked(buffer: Buffer) -> Iterator[Candidate]:
    """By rank: read by falling salience, and handed out when no later one can gain enough by being recent."""
    first, last = candidates.span(buffer)
    step = RECENCY / max(1, last - first)
    waiting: list[tuple[float, int, Candidate]] = []
    for one in candidates.best(buffer):
        while waiting and -waiting[0][0] > one.total + RECENCY:
            yield heapq.heappop(waiting)[2]
        heapq.heappush(waiting, (-(one.total + step * (one.seq - first)), -one.seq, one))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _within_cap(buffer: Buffer, offered: Iterator[Candidate], per_prompt: int, most: int,
                different: int) -> tuple[list[int], int]:
    """(numbers taken, how many were passed over because their cluster was full).

    different: how many prompts there are; when all of them are in full clusters, no more is read.
    """
    clusters, taken_of, crowded = Clusters(), Counter[int](), 0
    of_prompt: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < most and (part := list(islice(offered, _PART))):
        texts = candidates.prompts(buffer, {one.prompt: one.seq for one in part if one.prompt not in of_prompt}.values())
        for one in part:
            if one.prompt not in of_prompt and one.seq in texts:
                of_prompt[one.prompt] = clusters.of(texts[one.seq])
        for one in part:
            cluster = of_prompt[one.prompt]
            if taken_of[cluster] >= per_prompt:
                crowded += 1
            elif len(chosen) < most:
                taken_of[cluster] += 1
                chosen.append(one.seq)
        if len(of_prompt) == different and all(taken_of[cluster] >= per_prompt for cluster in of_prompt.values()):
            break
    return chosen, crowded
