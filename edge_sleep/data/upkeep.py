"""What keeps a home's store true and small: totals that follow the weights, and a bound on how much is kept."""
from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edge_sleep.data.buffer import STORE_FULL, Buffer
from edge_sleep.data.memory import ERASED, LISTED
from edge_sleep.data.salience import DIMENSIONS

LOW_SALIENCE = "low_salience"


def too_low(total: float, keep: float) -> str | None:
    """Why a total is not kept, as evidence; None where it is."""
    return f"total {total:.3f}, kept from {keep:g}" if total < keep else None


class Held(NamedTuple):
    """What eviction looks at."""

    seq: int
    status: str
    total: float
    trained: bool
    precious: bool                         # taught, or decided by a person


def evict(held: Iterable[Held], surplus: int) -> list[int]:
    """The seq of the `surplus` experiences that are missed least.

    In this order: not good enough to be kept; kept and not yet learned; learned (they are rehearsed); what a person
    taught or decided. Within each the least salient first, then the oldest. The quarantined are not in `held`: what
    was refused stays to be looked at.
    """
    def worth(one: Held) -> tuple[int, float, int]:
        return (3 if one.precious else 2 if one.trained else 1 if one.status == "kept" else 0), one.total, one.seq

    return [one.seq for one in heapq.nsmallest(max(0, surplus), held, key=worth)]


def bound(buffer: Buffer, most: int) -> int:
    """Hold the store to `most` experiences outside quarantine; returns how many lost their words, each with the reason.

    Their ids stay, so that a transcript that is read again does not bring them back.
    """
    count = buffer.rows("SELECT COUNT(*) FROM experiences WHERE status != 'quarantined' AND COALESCE(reason, '') NOT IN (?, ?)",
                        (STORE_FULL, ERASED))[0][0]
    if count <= most:
        return 0
    held = (Held(*row) for row in buffer.rows(
        """SELECT seq, status, total, learned,
                  by_hand OR COALESCE(json_extract(labels, '$.taught'), 0)
           FROM experiences WHERE status != 'quarantined' AND COALESCE(reason, '') NOT IN (?, ?)""", (STORE_FULL, ERASED)))
    gone = evict(held, count - most)
    with buffer.transaction():
        buffer.change(
            f"""UPDATE experiences SET prompt = '', response = '', said = NULL, context = '[]', labels = '{{}}',
                evidence = printf('total %.3f, {len(gone)} over data.max_experiences = {most}; was %s', total,
                                  COALESCE(reason, status)), status = 'evicted', reason = ?
                WHERE seq IN {LISTED}""", (STORE_FULL, json.dumps(gone)))
        buffer.memory.forget(gone)
    return len(gone)


def reweigh(buffer: Buffer, weights: Mapping[str, float], keep: float) -> bool:
    """Bring stored totals, and who passes `keep`, in line with the weights; True when they had changed.

    Left alone: what a person decided, what was taught, and what a night has learned.
    """
    now = json.dumps([*(weights[name] for name in DIMENSIONS), keep])
    stored = buffer.rows("SELECT value FROM scorer WHERE key = 'weights'")
    if stored and stored[0][0] == now:
        return False
    with buffer.transaction():
        buffer.change("INSERT OR REPLACE INTO scorer VALUES ('weights', ?)", (now,))
        if not stored:
            return False
        scale = sum(weights[name] for name in DIMENSIONS)
        shares = {name: weights[name] / scale if scale > 0 else 1 / len(DIMENSIONS) for name in DIMENSIONS}
        buffer.change("UPDATE experiences SET total = ROUND(" + " + ".join(f"? * {name}" for name in DIMENSIONS)
                      + ", 6) WHERE json_extract(labels, '$.taught') IS NULL",
                      tuple(shares[name] for name in DIMENSIONS))
        buffer.change("UPDATE experiences SET status = 'kept', reason = NULL, evidence = NULL "
                      "WHERE status = 'evicted' AND reason = ? AND total >= ?", (LOW_SALIENCE, keep))
        buffer.change(
            """UPDATE experiences SET status = 'evicted', reason = ?, evidence = printf('total %.3f, kept from %g', total, ?)
               WHERE status = 'kept' AND total < ? AND NOT by_hand AND json_extract(labels, '$.taught') IS NULL
               AND NOT learned""", (LOW_SALIENCE, keep, keep))
    return True
