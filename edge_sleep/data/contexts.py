"""Contexts as they are stored: the turns of one conversation overlap, so each names the exchanges before it by id."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from edge_sleep.data.experience import Exchange, Message
from edge_sleep.data.memory import ERASED, LISTED, STORE_FULL

_LATELY = 64                              # exchanges whose words a context may name by id
_encoded = json.JSONEncoder(ensure_ascii=False).encode


class Lately:
    """The exchanges stored last in this process, by their words: what a context may name instead of repeating it."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], str] = {}

    def note(self, exchange: Exchange) -> None:
        self._ids[exchange.prompt, exchange.response] = exchange.id
        if len(self._ids) > _LATELY:
            del self._ids[next(iter(self._ids))]

    def clear(self) -> None:
        self._ids.clear()

    def encode(self, messages: Sequence[Message]) -> str:
        """The context as JSON: ids of exchanges stored just now where it consists of these, else its messages."""
        if not messages:
            return "[]"
        if len(messages) % 2 == 0 and all(message["role"] == ("assistant" if place % 2 else "user")
                                          for place, message in enumerate(messages)):
            ids = [self._ids.get((asked["content"], said["content"]))
                   for asked, said in zip(messages[::2], messages[1::2], strict=True)]
            if None not in ids:
                return _encoded(ids)
        return _encoded(messages)


def resolved(rows: Callable[[str, Iterable[object]], list[tuple]], stored: Sequence[str]) -> list[tuple[Message, ...]]:
    """The messages of each stored context, ids resolved by `rows(sql, values)`; an exchange without words is left out."""
    contexts = [json.loads(context) for context in stored]
    wanted = list({one for context in contexts for one in context if isinstance(one, str)})
    said: dict[str, tuple[Message, Message]] = {}
    for name, prompt, answer in rows(
            f"""SELECT id, prompt, COALESCE(said, response) FROM experiences
                WHERE id IN {LISTED} AND COALESCE(reason, '') NOT IN (?, ?)""",
            (json.dumps(wanted), STORE_FULL, ERASED)):
        said[name] = Message(role="user", content=prompt), Message(role="assistant", content=answer)
    return [tuple(message for one in context
                  for message in (said.get(one, ()) if isinstance(one, str) else (one,))) for context in contexts]
