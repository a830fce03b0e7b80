"""What a person says to be right: the strongest reward, and the words that are trained.

A companion that learns only from its own answers drifts into them; here its owner's words become the target, and the
answer they correct is quarantined.
"""
from __future__ import annotations

import json
from dataclasses import replace

from edge_sleep.config import Config
from edge_sleep.data.buffer import TAUGHT, Buffer, Row
from edge_sleep.data.experience import Exchange, Experience, Session
from edge_sleep.data.ingest import decide
from edge_sleep.data.live import session_of
from edge_sleep.data.masking import masked_exchange
from edge_sleep.data.quality import QuarantineReason
from edge_sleep.data.salience import DIMENSIONS, Scorer
from edge_sleep.data.shapes import text_of
from edge_sleep.data.words import mark, normalised
from edge_sleep.errors import UsageError

_SCORES = (*DIMENSIONS, "total")


def teach(buffer: Buffer, config: Config, question: str | None, answer: str, *, instead_of: str | None = None,
          at: str | None = None) -> tuple[Experience, list[str], dict[str, int]]:
    """Store an answer that a person gave: kept, taken before all else by the next night, never trimmed or held out.

    instead_of: the experience whose answer it corrects; that one is quarantined as `corrected`. Where `question` is
    None, its question and what went before it are taken. What was taught to the same question earlier is corrected too.
    Returns (the experience, ids of other answers to the question that nights still learn from, what was masked).
    Raises UsageError where question or answer has no word, or no experience has the id.
    """
    wrong = buffer.get(instead_of) if instead_of is not None else None
    asked = text_of(question) if question is not None else wrong.prompt if wrong is not None else None
    right = text_of(answer)
    if not asked or not right:
        raise UsageError("teaching needs a question and an answer, both with words in them",
                         'edge-sleep teach "What is my sister\'s name?" "Your sister\'s name is Lena."')
    exchange, found = masked_exchange(
        Exchange(asked, right, 1, wrong.context if wrong is not None and question is None else (), at,
                 {"taught": True, **({"instead_of": wrong.id} if wrong is not None else {})}), config.data.redact)
    if wrong is not None and wrong.id == exchange.id:
        raise UsageError(f"{wrong.id} is this very answer", "teach another one, or leave out --instead-of")
    scorer = Scorer(buffer.memory, config.salience.weights)
    identity = session_of(f"{TAUGHT} {exchange.id}")
    with buffer.transaction():
        buffer.add_session(Session(identity, TAUGHT, TAUGHT, (), started=at))
        row = decide(exchange, buffer, scorer, config.quality, config.salience.keep)
        # Whatever the other dimensions say, nothing is worth more attention than a person's word.
        row = replace(row, salience={**row.salience, "total": 1.0})
        if buffer.insert(identity, row):
            scorer.learn(exchange)
        else:
            _now_taught(buffer, identity, row)
        others = _answers_to(buffer, exchange)
        corrected = [name for name, labels in others if json.loads(labels).get("taught")]
        corrected += [wrong.id] if wrong is not None else []
        for name in corrected:
            buffer.change("UPDATE experiences SET status = 'quarantined', reason = ?, evidence = ?, by_hand = 1 WHERE id = ?",
                          (QuarantineReason.CORRECTED.value, f"taught instead: {exchange.id}", name))
        return buffer.get(exchange.id), [name for name, _ in others if name not in corrected], dict(found)


def _now_taught(buffer: Buffer, session: str, row: Row) -> None:
    """The companion had said these very words: they keep their place and gain a person's word for them."""
    buffer.change(
        f"""UPDATE experiences SET session = ?, response = ?, said = NULL, labels = ?, trimmed = 0, status = 'kept',
            reason = NULL, evidence = NULL, by_hand = 1, {', '.join(f'{name} = ?' for name in _SCORES)} WHERE id = ?""",
        (session, row.response, json.dumps(row.exchange.labels, ensure_ascii=False),
         *(row.salience[name] for name in _SCORES), row.exchange.id))


def _answers_to(buffer: Buffer, exchange: Exchange) -> list[tuple[str, str]]:
    """(id, labels) of the other kept answers to the same question."""
    return [(name, labels) for name, labels in buffer.rows(
        "SELECT id, labels FROM experiences WHERE prompt_key = ? AND status = 'kept' AND id != ?",
        (mark(normalised(exchange.prompt)), exchange.id))]
