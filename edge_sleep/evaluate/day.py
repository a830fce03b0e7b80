"""The day watches the night: a promotion whose answers break more often in use than its predecessor's is taken back.

A gate asks some hundred questions; a day asks others. What counts is what the data gate finds by itself, in sessions that say
which adapter answered; a person's own quarantines do not, they may be about anything.
"""
from __future__ import annotations

import math

from edge_sleep.data.buffer import Buffer
from edge_sleep.data.quality.finding import COLLAPSES, QuarantineReason

LEAST_ANSWERS = 20                     # of either: below, an interval says nothing
_Z = 1.959963984540054                 # 97.5 % point of the normal distribution
BROKEN = COLLAPSES | {reason.value for reason in (
    QuarantineReason.EMPTY, QuarantineReason.TRUNCATED, QuarantineReason.EDUCATIONAL_DEFAULT, QuarantineReason.FOREIGN_LANGUAGE,
    QuarantineReason.CONFABULATED_HISTORY, QuarantineReason.UNASKED_CODE, QuarantineReason.COLLAPSED_SESSION)}
BASE = "base"


def answers_by_adapter(buffer: Buffer) -> dict[str, tuple[int, int]]:
    """adapter (or "base") -> (answers that broke, all answers) of the sessions that are stamped with it.

    An answer that a limit cut is none that broke: who asked for sixteen tokens got them.
    """
    found: dict[str, list[int]] = {}
    for adapter, status, reason, number in buffer.rows(
            f"""SELECT COALESCE(json_extract(s.stamp, '$.adapter'), '{BASE}'), e.status,
                CASE WHEN e.reason = '{QuarantineReason.TRUNCATED.value}'
                AND json_extract(e.labels, '$.finish_reason') IS NOT NULL THEN NULL ELSE e.reason END, COUNT(*)
                FROM experiences e JOIN sessions s ON s.id = e.session
                WHERE s.stamp != '{{}}' AND json_extract(s.stamp, '$.base') IS NOT NULL GROUP BY 1, 2, 3"""):
        counts = found.setdefault(str(adapter), [0, 0])
        counts[0] += number if status == "quarantined" and reason in BROKEN else 0
        counts[1] += number
    return {adapter: (broken, every) for adapter, (broken, every) in found.items()}


def wilson(broken: int, every: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927); all of [0, 1] where nothing was counted."""
    if not every:
        return 0.0, 1.0
    share = broken / every
    middle = share + _Z * _Z / (2 * every)
    half = _Z * math.sqrt(share * (1 - share) / every + _Z * _Z / (4 * every * every))
    scale = 1 + _Z * _Z / every
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def difference(now: tuple[int, int], before: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the difference of two shares, now - before (Newcombe 1998, method 10)."""
    share_now, share_before = now[0] / now[1], before[0] / before[1]
    low_now, high_now = wilson(*now)
    low_before, high_before = wilson(*before)
    gap = share_now - share_before
    return (gap - math.hypot(share_now - low_now, high_before - share_before),
            gap + math.hypot(high_now - share_now, share_before - low_before))


def worse(now: tuple[int, int], before: tuple[int, int]) -> str | None:
    """Why the current adapter should go, as (broken, all) of its answers and its predecessor's say; None where they do not."""
    if min(now[1], before[1]) < LEAST_ANSWERS:
        return None
    low, high = difference(now, before)
    if low <= 0:
        return None
    return (f"{now[0]} of {now[1]} answers broke since it was promoted, {before[0]} of {before[1]} under its predecessor "
            f"(difference {low:+.2f} to {high:+.2f})")
