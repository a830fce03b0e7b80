"""Erasing a conversation, or one exchange, from the store: its words go everywhere, its id stays.

The id is a hash of the masked words; it keeps a transcript that is read again from bringing them back. What followed from
the words (fingerprints, contexts of later exchanges) goes with them, and the file is rewritten, so that no free page keeps them.
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from edge_sleep.data.buffer import Buffer
from edge_sleep.data.memory import ERASED, LISTED
from edge_sleep.errors import UsageError

_KIND = "forgotten"


@dataclass(frozen=True)
class Wanted:
    """What is to be erased: ids, the words of each, and where it is still to be found elsewhere."""

    what: str                          # as a person reads it
    ids: tuple[str, ...]
    texts: tuple[str, ...]             # prompts and answers as they are stored
    session: str | None                # erased as a whole
    kept: tuple[str, ...]              # exchanges of the session that another session holds too
    sources: tuple[str, ...]           # transcripts outside the store
    adapters: tuple[str, ...]          # that learned from it, oldest first


def find(buffer: Buffer, name: str) -> Wanted:
    """What `name` is: an experience's id or its beginning, or a session's id, number or file. Raises UsageError."""
    sessions = [entry for entry in buffer.sessions() if entry["kind"] != _KIND and
                (name in (entry["id"], entry["source"], entry["number"]) or entry["source"].endswith(f"/{name}"))]
    if len(sessions) > 1:
        raise UsageError(f"{len(sessions)} sessions are called {name!r}: {', '.join(entry['id'] for entry in sessions[:8])}",
                         "name one of these ids")
    if not sessions:
        one = buffer.get(name).id
        return _wanted(buffer, f"experience {one}", [one], None, ())
    session = sessions[0]["id"]
    ids = [row[0] for row in buffer.rows("SELECT experience FROM found_in WHERE session = ?", (session,))]
    shared = {row[0] for row in buffer.rows(
        f"SELECT experience FROM found_in WHERE session IS NOT ? AND experience IN {LISTED}", (session, json.dumps(ids)))}
    return _wanted(buffer, f"session {sessions[0]['number'] or session}", [one for one in ids if one not in shared], session,
                   tuple(sorted(shared)))


def _wanted(buffer: Buffer, what: str, ids: Sequence[str], session: str | None, kept: tuple[str, ...]) -> Wanted:
    listed = json.dumps(list(ids))
    rows = buffer.rows(f"SELECT prompt, response, said FROM experiences WHERE id IN {LISTED}", (listed,))
    texts = {text for row in rows for text in row if text and text.strip()}
    sources = [row[0] for row in buffer.rows(
        f"""SELECT DISTINCT s.source FROM sessions s JOIN found_in f ON f.session = s.id
            WHERE f.experience IN {LISTED} ORDER BY s.source""", (listed,))]
    adapters = [row[0] for row in buffer.rows(
        f"SELECT adapter FROM trained WHERE experience IN {LISTED} GROUP BY adapter ORDER BY MIN(at)", (listed,))]
    return Wanted(what, tuple(ids), tuple(sorted(texts)), session, kept, tuple(filter(None, sources)), tuple(adapters))


def erase(buffer: Buffer, wanted: Wanted, gone: Sequence[str]) -> None:
    """Erase the words, and make what the adapters in `gone` had learned new again, so that later nights learn the rest anew."""
    listed, texts = json.dumps(list(wanted.ids)), set(wanted.texts)
    with buffer.transaction():
        seqs = [row[0] for row in buffer.rows(f"SELECT seq FROM experiences WHERE id IN {LISTED}", (listed,))]
        buffer.change(
            f"""UPDATE experiences SET prompt = '', response = '', said = NULL, context = '[]', labels = '{{}}', evidence = NULL,
                at = NULL, prompt_key = 0, by_hand = 0, status = 'evicted', reason = ? WHERE id IN {LISTED}""", (ERASED, listed))
        for seq, context in buffer.rows("SELECT seq, context FROM experiences WHERE context LIKE '%{%'"):
            said = json.loads(context)
            left = [one for one in said if isinstance(one, str) or one["content"] not in texts]
            if len(left) < len(said):
                buffer.change("UPDATE experiences SET context = ? WHERE seq = ?", (json.dumps(left, ensure_ascii=False), seq))
        if wanted.session is not None:
            buffer.change("DELETE FROM found_in WHERE session = ?", (wanted.session,))
            buffer.change("""UPDATE sessions SET source = '', kind = ?, number = NULL, started = NULL, model = NULL, stamp = '{}',
                             phase = NULL WHERE id = ?""", (_KIND, wanted.session))
        adapters = json.dumps(list(gone))
        buffer.change(f"DELETE FROM trained WHERE adapter IN {LISTED}", (adapters,))
        buffer.change("UPDATE experiences SET learned = 0 WHERE learned AND id NOT IN (SELECT experience FROM trained)")
        buffer.memory.forget(seqs)
        buffer.memory.recall_recent()
    buffer.rewrite()
