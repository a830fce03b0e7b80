"""SAGE's experience buffer, written: a JSON list, in the fields and with the ids of its own collector.

Reading it is `data/shapes.py`'s work. What comes back from here has the same content address, so that a buffer may
travel to SAGE's tools and home again without doubling.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from edge_sleep.data.buffer import STORE_FULL, Buffer
from edge_sleep.data.memory import ERASED
from edge_sleep.data.salience import DIMENSIONS

_SCORES = (*DIMENSIONS, "total")


def entries(buffer: Buffer, status: str = "kept") -> Iterator[dict]:
    """Every experience of one status as an entry of SAGE's buffer, in the order they came.

    `response` is what was said in full, since that is what both address; where edge_sleep learns less of it (a cut
    answer ends at its last whole sentence) `metadata.learned` holds that. Session numbers are integers where they are.
    """
    for row in buffer.rows(
            f"""SELECT e.prompt, COALESCE(e.said, e.response), e.response, e.at, e.trimmed, e.labels, s.number, s.phase, s.model,
                       s.started, s.id, {', '.join('e.' + name for name in _SCORES)}
                FROM experiences e JOIN sessions s ON s.id = e.session
                WHERE e.status = ? AND COALESCE(e.reason, '') NOT IN (?, ?) ORDER BY e.seq""", (status, STORE_FULL, ERASED)):
        prompt, said, learned, at, trimmed, labels, number, phase, model, started, session = row[:11]
        metadata = {"source": "edge_sleep", "model": model, "taught": json.loads(labels).get("taught"),
                    "learned": learned if trimmed else None}
        yield {"id": hashlib.sha256(f"{prompt}|{said}".encode()).hexdigest()[:16], "prompt": prompt, "response": said,
               "salience": dict(zip(_SCORES, row[11:], strict=True)), "session": _number(number or session), "phase": phase or "",
               "timestamp": at or started, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def _number(number: str) -> int | str:
    return int(number) if number.isascii() and number.isdigit() else number
