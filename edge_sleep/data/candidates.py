"""What a night may learn from, read for selection: by index, in order, and no word of it before it is asked for."""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edge_sleep.data.memory import LISTED
from edge_sleep.data.store import Store

_KEPT = "status = 'kept' AND NOT learned"


class Candidate(NamedTuple):
    """A kept experience that no night has learned from."""

    seq: int
    session: str
    total: float
    prompt: int                            # mark of the prompt's words: equal for prompts that differ in dress only


def best(store: Store) -> Iterator[Candidate]:
    """The most salient first, the newer of equals. The best of a million cost no more than the best of a hundred."""
    return map(Candidate._make, store.stream(
        f"""SELECT seq, session, total, prompt_key FROM experiences INDEXED BY experiences_rank
            WHERE {_KEPT} ORDER BY total DESC, seq DESC"""))


def newest(store: Store) -> Iterator[Candidate]:
    """The last that arrived first."""
    return map(Candidate._make, store.stream(
        f"""SELECT seq, session, total, prompt_key FROM experiences INDEXED BY experiences_newest
            WHERE {_KEPT} ORDER BY seq DESC"""))


def of_sessions(store: Store, sessions: Iterable[str]) -> list[Candidate]:
    """Those of the named sessions, the newest first."""
    found = [Candidate._make(row) for name in sessions for row in store.rows(
        f"SELECT seq, session, total, prompt_key FROM experiences WHERE session = ? AND {_KEPT}", (name,))]
    return sorted(found, reverse=True)


def span(store: Store) -> tuple[int, int]:
    """(first, last) number; (0, 0) without any."""
    return store.rows(f"""SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM experiences INDEXED BY experiences_rank
                          WHERE {_KEPT}""")[0]


def tally(store: Store, per_prompt: int) -> tuple[int, int, int]:
    """(candidates, different prompts, candidates when each prompt counts at most `per_prompt`)."""
    return store.rows(f"""SELECT COALESCE(SUM(n), 0), COUNT(*), COALESCE(SUM(MIN(n, ?)), 0) FROM (
                            SELECT COUNT(*) AS n FROM experiences INDEXED BY experiences_prompt
                            WHERE {_KEPT} GROUP BY prompt_key)""", (per_prompt,))[0]


def prompts(store: Store, seqs: Iterable[int]) -> dict[int, str]:
    """Prompts by number."""
    return dict(store.rows("SELECT seq, prompt FROM experiences WHERE seq IN " + LISTED,
                           (json.dumps(list(seqs)),)))
