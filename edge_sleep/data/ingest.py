"""Transcripts into the home: read, judge, score, store; in whole transactions, each refusal named."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from edge_sleep.config import Data
from edge_sleep.data.buffer import STORE_FULL, Buffer, Row
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.masking import masked
from edge_sleep.data.origin import ModelName, foreign
from edge_sleep.data.quality import (
    Finding,
    QuarantineReason,
    Settings,
    again,
    assess,
    collapsed,
    inverted,
    only_asks,
    told_cut,
    trim,
)
from edge_sleep.data.redact import KINDS
from edge_sleep.data.salience import Scorer
from edge_sleep.data.session import iter_paths
from edge_sleep.data.upkeep import LOW_SALIENCE, bound, reweigh, too_low

_SET_ASIDE = ("quarantined", QuarantineReason.OTHER_MODEL.value)
_COLLAPSED = f"quarantined:{QuarantineReason.COLLAPSED_SESSION.value}"
_PER_TRANSACTION = 5000                   # exchanges between two fsyncs; a power cut costs re-reading these, no more


class Names(Protocol):
    """The part of the `companion` section that reading needs."""

    @property
    def companion_names(self) -> tuple[str, ...]: ...
    @property
    def teacher_names(self) -> tuple[str, ...]: ...
    @property
    def models(self) -> tuple[str, ...]: ...


class Weights(Protocol):
    """The `salience` section of the configuration."""

    @property
    def keep(self) -> float: ...
    @property
    def weights(self) -> dict[str, float]: ...


def decide(exchange: Exchange, buffer: Buffer, scorer: Scorer, quality: Settings, keep: float,
           of_session: Finding | None = None, of_model: str | None = None) -> Row:
    """What becomes of one new exchange: kept, quarantined with its reason, or evicted for low salience.

    of_session: what is wrong with its whole session, which counts where the answer only asks.
    of_model: why its words are another model's; nothing is compared with those later. What a person taught is kept.
    """
    salience = scorer.score(exchange)
    if exchange.labels.get("taught"):
        return Row(exchange, exchange.response, salience)
    if of_model is not None:
        return Row(exchange, exchange.response, salience, "quarantined", QuarantineReason.OTHER_MODEL.value, of_model,
                   remember=False)
    finding = assess(exchange, buffer.memory, quality)
    if finding is None and of_session is not None and only_asks(exchange.response):
        finding = of_session
    told = told_cut(exchange)
    response, trimmed = trim(exchange.response, told) if quality.enabled and finding is None else (exchange.response, told)
    if finding is not None:
        return Row(exchange, response, salience, "quarantined", finding.reason.value, finding.evidence)
    if low := too_low(salience["total"], keep):
        return Row(exchange, response, salience, "evicted", LOW_SALIENCE, low, trimmed)
    return Row(exchange, response, salience, trimmed=trimmed)


def take(session: Session, buffer: Buffer, scorer: Scorer, quality: Settings, keep: float,
         redact: Collection[str] = KINDS, of_model: str | None = None) -> Counter[str]:
    """One session into the buffer, masked first.

    Returns counts of exchanges, new, duplicates, experiences, quarantined:<reason> and redacted:<kind>. A session
    that was collected while it was talked is known by its exchanges: its transcript adds nothing, not even itself.
    """
    tally: Counter[str] = Counter()
    session, findings = masked(session, redact)
    of_session, before = inverted(session.exchanges, quality), buffer.last_seq()
    with buffer.transaction():
        if live := buffer.collected(session):
            session = replace(session, id=live)
        else:
            buffer.add_session(session)
        known = buffer.known([exchange.id for exchange in session.exchanges])
        for exchange in session.exchanges:
            tally["exchanges"] += 1
            state = known.get(exchange.id)
            if state is not None and (state != _SET_ASIDE or of_model is not None):
                buffer.link(session.id, exchange.id)
                tally["duplicates"] += 1
                continue
            row = decide(exchange, buffer, scorer, quality, keep, of_session, of_model)
            if state is None:
                buffer.insert(session.id, row)
            else:
                buffer.adopt(session.id, row)
            known[exchange.id] = (row.status, row.reason)
            tally["duplicates" if state else "new"] += 1
            tally.update({f"redacted:{kind}": n for kind, n in findings.get(exchange.id, {}).items()})
            if row.remember:
                scorer.learn(exchange)
            if row.status == "kept":
                tally["experiences"] += 1
            elif row.status == "quarantined":
                tally[f"quarantined:{row.reason}"] += 1
        if tally["experiences"] < tally["exchanges"]:
            moved = buffer.condemn(session.id, partial(collapsed, settings=quality))
            tally["experiences"] -= sum(seq > before for seq in moved)
            tally[_COLLAPSED] += len(moved)
    return tally


def ingest(paths: Iterable[Path], buffer: Buffer, *, companion: Names, quality: Settings, salience: Weights,
           data: Data | None = None, own: ModelName | None = None,
           progress: Callable[[Path, int], None] | None = None) -> dict[str, Any]:
    """Read everything under `paths` into the buffer; returns the document that `ingest --json` prints.

    A second ingest of the same files adds nothing. own: what the base is, so that another model's sessions are set
    aside; None takes all. `progress(path, exchanges_so_far)` is called per file.
    """
    data = data or Data()
    reweigh(buffer, salience.weights, salience.keep)
    scorer = Scorer(buffer.memory, salience.weights)
    tally: Counter[str] = Counter()
    before = buffer.last_seq()
    refused, files_read = [], 0
    readings = iter_paths(paths, companion.companion_names, companion.teacher_names)
    while True:
        with buffer.transaction():
            stored_by = tally["exchanges"] + _PER_TRANSACTION
            for reading in readings:
                files_read += reading.files_read
                refused += reading.refused
                for session in reading.sessions:
                    of_model = foreign(session.model, own, companion.models)
                    tally += take(session, buffer, scorer, quality, salience.keep, data.redact, of_model)
                if progress is not None and reading.sessions:
                    progress(Path(reading.sessions[0].source), tally["exchanges"])
                if tally["exchanges"] >= stored_by:
                    break
            else:
                break
    if quality.enabled:
        # Not only for what was read just now: what was collected since the last reading is judged here too.
        moved = buffer.rejudge(partial(again, history=buffer.memory, settings=quality))
        tally[f"quarantined:{QuarantineReason.REGURGITATION.value}"] += len(moved)
        for name in buffer.sessions_of(moved):
            rest = buffer.condemn(name, partial(collapsed, settings=quality))
            tally[_COLLAPSED] += len(rest)
            moved += rest
        tally["experiences"] -= sum(seq > before for seq in moved)
    tally[f"evicted:{STORE_FULL}"] = bound(buffer, data.max_experiences)

    def counts(prefix: str) -> dict[str, int]:
        return {name[len(prefix):]: n for name, n in sorted(tally.items()) if n and name.startswith(prefix)}

    return {
        "files": {"read": files_read, "refused": dict(Counter(refusal.reason for refusal in refused))},
        **{name: tally[name] for name in ("exchanges", "new", "duplicates", "experiences")},
        "quarantined": counts("quarantined:"),
        "redacted": counts("redacted:"),
        **({"evicted": counts("evicted:")} if counts("evicted:") else {}),
        "refused_files": [{"path": str(refusal.path), "reason": refusal.reason, "detail": refusal.detail}
                          for refusal in refused],
    }
