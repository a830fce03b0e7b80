"""What the scorer and the quality gate remember, kept in the home's database.

Counts of words and of word pairs, the last answers' words, and fingerprints of prompts and answers, all by
32-bit mark, so that no text outlives its erasure here. Reading is cached; writing is collected and flushed
inside the caller's transaction, so one process or fifty leave the same numbers. Everything here follows from
the stored exchanges: `rebuild` makes it anew.
"""
from __future__ import annotations

import json
import sqlite3
from collections import Counter, deque
from collections.abc import Collection, Sequence

from edge_sleep.data.quality.finding import QuarantineReason
from edge_sleep.data.salience import Text
from edge_sleep.data.sketch import Sketch
from edge_sleep.data.words import fingerprints, mark, normalised, sentences, stems, words

RECENT = 16                               # answers compared with directly
_CACHED_TERMS = 200_000                   # word counts kept in memory, about 20 MB
_PROMPT_WORDS = 4                         # shorter prompts ("Hello.") are anybody's words
_MARKS = 400                              # of one text that are compared: SQLite takes no more values at once
_PER_MARK = 8                             # answers remembered for one fingerprint
_SHARED = 2                               # fingerprints in common that make an earlier answer worth a second look

LISTED = "(SELECT value FROM json_each(?))"    # in SQL: the values of one JSON list, however many
STORE_FULL = "store_full"                 # evicted, and its words with it: only id, scores and history are left
ERASED = "forgotten"                      # by the owner's word (data/forget.py); the same is left of it
FORGOTTEN = (QuarantineReason.OTHER_MODEL.value, STORE_FULL, ERASED)   # reasons for which nothing is compared with an exchange


def _holes(values: Collection[int]) -> str:
    return ",".join("?" * len(values))


class StoredMemory:
    """Memory of the scorer and History of the quality gate over one SQLite connection."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self._pairs = Sketch(connection)
        self.reset()

    def reset(self) -> None:
        """Forget what is cached and unsaved: after a rolled-back transaction, or another process's writing."""
        self._pairs.reset()
        self._pending: Counter[int] = Counter()
        self._cache: Counter[int] = Counter()
        self._prompted: set[int] = set()
        self._last: tuple[Sequence[int], dict[int, list[int]]] = ((), {})
        stored = dict(self._connection.execute("SELECT key, value FROM scorer"))
        self.exchanges = int(stored.get("exchanges", 0))
        self._recent = deque((frozenset(answer) for answer in json.loads(stored.get("recent", "[]"))), RECENT)

    def stale(self) -> bool:
        """Whether there are exchanges that nothing here remembers: after a change of format."""
        remembers = self._connection.execute("SELECT 1 FROM scorer WHERE key = 'exchanges'").fetchone()
        return not remembers and bool(self._connection.execute("SELECT 1 FROM experiences LIMIT 1").fetchone())

    def rebuild(self) -> None:
        """Remember every stored exchange anew, in the order they came; inside the caller's transaction.

        Not those of another model, nor those whose words were dropped when the store was full.
        """
        for seq, prompt, response in self._connection.execute(
                """SELECT seq, prompt, COALESCE(said, response) FROM experiences
                   WHERE reason IS NULL OR reason NOT IN (?, ?, ?) ORDER BY seq""", FORGOTTEN):
            self.remember(seq, prompt, response)
            self.learn(Text.of(response))
        self.judged()

    # Scorer

    def word_counts(self, marks: Sequence[int]) -> Sequence[int]:
        """How many answers held each word, in the order asked."""
        self._read(marks)
        cache = self._cache
        return [cache[value] for value in marks]

    def _read(self, marks: Sequence[int]) -> None:
        missing = [value for value in marks if value not in self._cache]
        for start in range(0, len(missing), _MARKS):
            part = missing[start:start + _MARKS]
            for value in part:
                self._cache[value] = self._pending.get(value, 0)
            for term, n in self._connection.execute(
                    f"SELECT term, n FROM word_counts WHERE term IN ({_holes(part)})", part):
                self._cache[term] += n

    def pair_counts(self, marks: Sequence[int]) -> Sequence[int]:
        """How many answers held each pair of words, in the order asked; at least."""
        return self._pairs.counts(marks)

    def recent(self) -> list[frozenset[str]]:
        return list(self._recent)

    def learn(self, answer: Text) -> None:
        self.exchanges += 1
        self._recent.append(answer.distinct)
        self._pairs.add(answer.pair_marks)
        self._read(answer.word_marks)
        self._cache.update(answer.word_marks)
        self._pending.update(answer.word_marks)
        if len(self._cache) > _CACHED_TERMS:
            self._cache.clear()

    # Quality

    def prompts_among(self, parts: Sequence[str]) -> set[str]:
        marks = {mark(normalised(part)): part for part in parts[:_MARKS]}
        return {marks[value] for value in self._prompt_marks(marks)}

    def unsaid(self, stems: Sequence[int]) -> set[int]:
        return set(stems[:_MARKS]) - self._prompt_marks(stems[:_MARKS])

    def prompts_of(self, fingerprints: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
        holders = self._holders(fingerprints)
        every = list({seq for seqs in holders.values() for seq in seqs})
        prompts: dict[int, str] = {}
        for start in range(0, len(every), _MARKS):
            part = every[start:start + _MARKS]
            prompts.update(self._connection.execute(f"SELECT seq, prompt FROM experiences WHERE seq IN ({_holes(part)})", part))
        return {value: [(seq, prompts[seq]) for seq in seqs] for value, seqs in holders.items()}

    def met(self) -> list[int]:
        """Earlier exchanges whose answers share text with what was remembered since `judged` was last called.

        Kept in the home: what is collected by day, one exchange and one process at a time, is judged by a later ingest.
        """
        return [row[0] for row in self._connection.execute("SELECT seq FROM met ORDER BY seq")]

    def judged(self) -> None:
        """Hindsight has judged all that `met` names; inside the caller's transaction."""
        self._connection.execute("DELETE FROM met")

    def forget(self, seqs: Sequence[int]) -> None:
        """Compare no later answer with these; inside the caller's transaction."""
        self._connection.execute("DELETE FROM fingerprints WHERE seq IN " + LISTED, (json.dumps(seqs),))
        self._last = ((), {})

    def recall_recent(self) -> None:
        """Take the last answers' words anew from what is stored: those that were erased are not among them."""
        rows = self._connection.execute(
            """SELECT COALESCE(said, response) FROM experiences WHERE reason IS NULL OR reason NOT IN (?, ?, ?)
               ORDER BY seq DESC LIMIT ?""", (*FORGOTTEN, RECENT)).fetchall()
        self._recent = deque((Text.of(row[0]).distinct for row in reversed(rows)), RECENT)
        self._connection.execute("INSERT OR REPLACE INTO scorer VALUES ('recent', ?)",
                                 (json.dumps([sorted(answer) for answer in self._recent]),))

    def remember(self, seq: int, prompt: str, response: str) -> None:
        """Take up one exchange, stored under `seq`, for later comparisons."""
        asked = {mark(normalised(part)) for part in (prompt, *sentences(prompt)) if len(words(part)) >= _PROMPT_WORDS}
        asked = (asked | stems(prompt)) - self._prompted
        if len(self._prompted) > _CACHED_TERMS:
            self._prompted.clear()
        self._prompted |= asked
        self._connection.executemany("INSERT OR IGNORE INTO prompt_marks VALUES (?)", [(value,) for value in asked])
        marks = fingerprints(response)[:_MARKS]
        holders = self._holders(marks)
        self._connection.executemany("INSERT INTO fingerprints VALUES (?, ?)", [
            (value, seq) for value in marks if len(holders.get(value, ())) < _PER_MARK])
        self._last = ((), {})
        if holders:
            shared = Counter(holder for seqs in holders.values() for holder in seqs)
            self._connection.executemany("INSERT OR IGNORE INTO met VALUES (?)",
                                         [(holder,) for holder, n in shared.items() if n >= _SHARED])

    def _prompt_marks(self, marks: Collection[int]) -> set[int]:
        if not marks:
            return set()
        return {row[0] for row in self._connection.execute(
            f"SELECT mark FROM prompt_marks WHERE mark IN ({_holes(marks)})", tuple(marks))}

    def _holders(self, marks: Sequence[int]) -> dict[int, list[int]]:
        """For each fingerprint the exchanges that hold it; judging and remembering ask for the same ones."""
        marks = marks[:_MARKS]
        if self._last[0] != marks:
            holders: dict[int, list[int]] = {}
            for value, seq in self._connection.execute(
                    f"SELECT mark, seq FROM fingerprints WHERE mark IN ({_holes(marks)}) ORDER BY mark, seq", marks):
                holders.setdefault(value, []).append(seq)
            self._last = (marks, holders)
        return self._last[1]

    def flush(self) -> None:
        """Write what was learned; inside the caller's transaction."""
        self._connection.executemany(
            "INSERT INTO word_counts VALUES (?, ?) ON CONFLICT (term) DO UPDATE SET n = n + excluded.n",
            sorted(self._pending.items()))
        self._pending.clear()
        self._pairs.flush()
        stored = {"exchanges": str(self.exchanges), "recent": json.dumps([sorted(answer) for answer in self._recent])}
        self._connection.executemany("INSERT OR REPLACE INTO scorer VALUES (?, ?)", stored.items())
