"""Experiences as they happen: one exchange of a conversation that is going on, stored before the next is said.

What a later reading of the transcript would decide is decided here, as far as it can be known by now, and put right
when the next exchange tells more: what the teacher said next belongs to the score, and a session in which most answers
only ask is known by its later answers.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial

from edge_sleep.config import Config
from edge_sleep.data.buffer import COLLECTED, Buffer
from edge_sleep.data.experience import Exchange, Experience, Message, Session
from edge_sleep.data.ingest import decide
from edge_sleep.data.masking import masked_exchange
from edge_sleep.data.memory import LISTED
from edge_sleep.data.origin import ModelName, foreign
from edge_sleep.data.quality import QuarantineReason, collapsed, inverted, only_asks
from edge_sleep.data.redact import redact
from edge_sleep.data.salience import Scorer, Text, reward, total
from edge_sleep.data.shapes import CONTEXT_MESSAGES, FOLLOWED_BY_CHARACTERS, text_of
from edge_sleep.data.upkeep import LOW_SALIENCE, too_low
from edge_sleep.errors import UsageError

_ROLES = ("system", "user", "assistant")


def session_of(name: str) -> str:
    """The id of a session that is still going on: its words are not all said, so its name stands for them."""
    return hashlib.sha256(f"{COLLECTED}\0{name}".encode()).hexdigest()[:16]


def collect(buffer: Buffer, config: Config, prompt: str, response: str, *, session: object, phase: str | None = None,
            context: Sequence[Mapping[str, str]] | None = None, at: str | None = None, model: str | None = None,
            own: ModelName | None = None) -> Experience:
    """Store one exchange in one transaction; the same exchange again changes nothing.

    context: what was said before, as {role, content} messages; None takes it from what this session gave so far.
    own: what the base is (`model/identity.py`), against which `model`, where given, is held.
    Raises UsageError for a prompt or a session without a word, and for a context that is no messages.
    """
    asked, said, name = text_of(prompt), text_of(response), str(session).strip()
    if not asked or said is None or not name:
        raise UsageError(f"an exchange needs text: prompt {prompt!r:.60}, response {response!r:.60}, session {session!r:.60}",
                         "give the prompt, the answer (it may be empty), and the session's name or number")
    identity = session_of(name)
    scorer = Scorer(buffer.memory, config.salience.weights)
    with buffer.transaction():
        buffer.add_session(Session(identity, COLLECTED, COLLECTED, (), number=name, started=at, model=model, phase=phase))
        before = _so_far(buffer, identity)
        kept = _messages(context) if context is not None else _said(before)
        exchange, _ = masked_exchange(Exchange(asked, said, len(before) + 1, kept[-CONTEXT_MESSAGES:], at), config.data.redact)
        if before and before[-1].id == exchange.id:
            return buffer.get(exchange.id)         # said again by a loop that was not sure that it was heard
        if before:
            _followed(buffer, config, identity, before[-1], redact(asked, config.data.redact)[0][:FOLLOWED_BY_CHARACTERS])
        if buffer.known([exchange.id]):
            buffer.link(identity, exchange.id)
        else:
            row = decide(exchange, buffer, scorer, config.quality, config.salience.keep,
                         of_model=foreign(model, own, config.companion.models))
            buffer.insert(identity, row)
            if row.remember:
                scorer.learn(exchange)
        turns = [*before, exchange]
        buffer.change("UPDATE sessions SET stamp = ? WHERE id = ?",
                      (json.dumps({"turns": [turn.id for turn in turns]}), identity))
        _judge_session(buffer, config, identity, turns)
        return buffer.get(exchange.id)


def _so_far(buffer: Buffer, identity: str) -> list[Exchange]:
    """The session's exchanges in the order they were said, those known from other sessions too."""
    turns = json.loads(buffer.rows("SELECT stamp FROM sessions WHERE id = ?", (identity,))[0][0]).get("turns", [])
    found = {row[0]: Exchange(row[1], row[2], labels=json.loads(row[3]), address=row[0]) for row in buffer.rows(
        "SELECT id, prompt, COALESCE(said, response), labels FROM experiences WHERE id IN " + LISTED,
        (json.dumps(turns),))}
    return [found[turn] for turn in turns if turn in found]


def _said(exchanges: Sequence[Exchange]) -> tuple[Message, ...]:
    return tuple(message for exchange in exchanges for message in (
        Message(role="user", content=exchange.prompt), Message(role="assistant", content=exchange.response)))


def _messages(context: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    kept: list[Message] = []
    for message in context:
        role, content = (message.get("role"), text_of(message.get("content"))) if isinstance(message, Mapping) else (None, None)
        if role not in _ROLES or content is None:
            raise UsageError(f"context holds {message!r:.80}", "give messages: {'role': 'user' or 'assistant', 'content': text}")
        if role != "system":
            kept.append(Message(role="user" if role == "user" else "assistant", content=content))
    return tuple(kept)


def _followed(buffer: Buffer, config: Config, identity: str, last: Exchange, followed_by: str) -> None:
    """What the teacher said next is part of the last answer's reward, and so of whether it is kept."""
    rows = buffer.rows("SELECT surprise, novelty, arousal, conflict, status, reason, by_hand FROM experiences "
                       "WHERE id = ? AND session = ?", (last.id, identity))
    if not rows or "followed_by" in last.labels or last.labels.get("taught"):
        return
    row, labels = rows[0], {**last.labels, "followed_by": followed_by}
    scores = dict(zip(("surprise", "novelty", "arousal", "conflict"), row, strict=False))
    scores["reward"] = round(reward(Text.of(last.response), labels, followed_by), 6)
    weighed = round(total(scores, config.salience.weights), 6)
    status, reason, by_hand = row[4:]
    evidence = None
    if not by_hand and reason in (None, LOW_SALIENCE):
        evidence = too_low(weighed, config.salience.keep)
        status, reason = ("evicted", LOW_SALIENCE) if evidence else ("kept", None)
    buffer.change("UPDATE experiences SET labels = ?, reward = ?, total = ?, status = ?, reason = ?, "
                  "evidence = COALESCE(?, evidence) WHERE id = ?",
                  (json.dumps(labels, ensure_ascii=False), scores["reward"], weighed, status, reason, evidence, last.id))


def _judge_session(buffer: Buffer, config: Config, identity: str, exchanges: Sequence[Exchange]) -> None:
    """What is wrong with the session as a whole, by all of it that was said: set aside, and taken back where it no longer is.

    The answers that only ask, when most of the session does; all of it, when nearly every answer is a collapse.
    """
    freed = [seq for (seq,) in buffer.rows(
        """SELECT e.seq FROM found_in f JOIN experiences e ON e.id = f.experience
           WHERE f.session = ? AND e.status = 'quarantined' AND e.reason = ? AND NOT e.by_hand""",
        (identity, QuarantineReason.COLLAPSED_SESSION.value))]
    _take_back(buffer, config, f"seq IN {LISTED}", (json.dumps(freed),))
    asking = json.dumps([exchange.id for exchange in exchanges if only_asks(exchange.response)])
    finding = inverted(exchanges, config.quality)
    if finding is not None:
        buffer.change(
            f"""UPDATE experiences SET status = 'quarantined', reason = ?, evidence = ? WHERE status IN ('kept', 'evicted')
               AND NOT by_hand AND id IN {LISTED} AND NOT learned
               AND session = ?""", (finding.reason.value, finding.evidence, asking, identity))
    else:
        _take_back(buffer, config, """status = 'quarantined' AND reason = ?
                   AND evidence LIKE '% answers of this session only ask' AND NOT by_hand AND session = ?""",
                   (QuarantineReason.ROLE_INVERSION.value, identity))
    for name in {identity, *buffer.sessions_of(freed)}:
        buffer.condemn(name, partial(collapsed, settings=config.quality))


def _take_back(buffer: Buffer, config: Config, where: str, values: Sequence[object]) -> None:
    """Out of quarantine, to where the score alone puts it."""
    keep = config.salience.keep
    buffer.change("UPDATE experiences SET status = CASE WHEN total < ? THEN 'evicted' ELSE 'kept' END, evidence = NULL, "
                  f"reason = CASE WHEN total < ? THEN ? END WHERE {where}", (keep, keep, LOW_SALIENCE, *values))
