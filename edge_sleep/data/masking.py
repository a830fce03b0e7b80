"""A session as it may be stored: every text of it masked, its ids taken from the masked words.

Why after masking: an id of the original words would let anyone who has it try all telephone numbers until
one fits. Why from the words with *every* kind masked, also those that `data.redact` leaves alone: the id must
be the same whatever the setting, so that a transcript that is read again, or an export that comes back, finds
its experiences instead of doubling them.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from edge_sleep.data.experience import Exchange, Message, Session, exchange_id
from edge_sleep.data.redact import KINDS, redact, without
from edge_sleep.data.session import session_id
from edge_sleep.data.shapes import FOLLOWED_BY_CHARACTERS


def masked(session: Session, kinds: Collection[str] = KINDS) -> tuple[Session, dict[str, Counter[str]]]:
    """(the session to store, findings by kind for each exchange id that had any).

    Only an exchange's own prompt and answer are counted: its context is other exchanges' words again.
    """
    exchanges, found = [], {}
    for number, exchange in enumerate(session.exchanges):
        after = session.exchanges[number + 1].prompt if number + 1 < len(session.exchanges) else ""
        kept, counts = masked_exchange(exchange, kinds, after)
        exchanges.append(kept)
        if counts:
            found[kept.id] = counts
    if all(kept is exchange for kept, exchange in zip(exchanges, session.exchanges, strict=True)):
        return session, found
    whole = [masked_exchange(exchange)[0] for exchange in session.exchanges]
    return replace(session, exchanges=tuple(exchanges), id=session_id(whole)), found


def masked_exchange(exchange: Exchange, kinds: Collection[str] = KINDS, after: str = "") -> tuple[Exchange, Counter[str]]:
    """(the exchange to store, findings in its prompt and answer); `after`: the prompt that came next, uncut."""
    prompt, asked = redact(exchange.prompt, kinds)
    response, said = redact(exchange.response, kinds)
    context = tuple([_message(message, kinds) for message in exchange.context])
    labels = _labels(exchange.labels, kinds, after)
    address = _address(exchange) if set(kinds) < set(KINDS) else None
    if address == exchange_id(prompt, response):
        address = None
    if (prompt, response, address) == (exchange.prompt, exchange.response, None) and context == exchange.context \
            and labels == exchange.labels:
        return exchange, asked + said
    return replace(exchange, prompt=prompt, response=response, context=context, labels=labels, address=address), asked + said


def _address(exchange: Exchange) -> str:
    return exchange_id(without(exchange.prompt), without(exchange.response))


def _message(message: Message, kinds: Collection[str]) -> Message:
    content = without(message["content"], kinds)
    return message if content == message["content"] else Message(role=message["role"], content=content)


def _labels(labels: dict, kinds: Collection[str], after: str) -> dict:
    """The labels with their texts masked. What followed was cut to a length: the whole is masked, then cut again."""
    kept = {key: without(value, kinds) if isinstance(value, str) else value for key, value in labels.items()}
    followed = labels.get("followed_by")
    if isinstance(followed, str) and after.startswith(followed):
        kept["followed_by"] = without(after, kinds)[:FOLLOWED_BY_CHARACTERS]
    return kept
