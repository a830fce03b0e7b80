"""The format of experience.db, as numbered steps: a new home runs all, an old one runs what it lacks.

The number of the last step is kept in SQLite's own `user_version`. A step is never edited after a
release; a change of format is a new step.
"""
from __future__ import annotations

import sqlite3

from edge_sleep.errors import IntegrityError

STEPS: tuple[tuple[str, ...], ...] = (
    (   # 1: sessions, experiences, what trained when, what the scorer and the quality gate remember
        """CREATE TABLE sessions (
            id TEXT PRIMARY KEY, source TEXT NOT NULL, kind TEXT NOT NULL, number TEXT, started TEXT, model TEXT,
            stamp TEXT NOT NULL DEFAULT '{}', added TEXT NOT NULL) WITHOUT ROWID""",
        # `response` is what may be learned (a cut answer ends at its last whole sentence); `said` is what was said.
        """CREATE TABLE experiences (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, session TEXT NOT NULL REFERENCES sessions(id),
            turn INTEGER NOT NULL, at TEXT, prompt TEXT NOT NULL, response TEXT NOT NULL, said TEXT,
            context TEXT NOT NULL DEFAULT '[]', labels TEXT NOT NULL DEFAULT '{}', trimmed INTEGER NOT NULL DEFAULT 0,
            prompt_key INTEGER NOT NULL,
            surprise REAL NOT NULL, novelty REAL NOT NULL, arousal REAL NOT NULL, reward REAL NOT NULL,
            conflict REAL NOT NULL, total REAL NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('kept', 'quarantined', 'evicted')), reason TEXT, evidence TEXT,
            by_hand INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX experiences_session ON experiences(session)",
        "CREATE INDEX experiences_status ON experiences(status, reason)",
        # Every place an exchange was found: a duplicate is stored once and still belongs to both sessions.
        """CREATE TABLE found_in (session TEXT NOT NULL, experience TEXT NOT NULL,
            PRIMARY KEY (session, experience)) WITHOUT ROWID""",
        """CREATE TABLE trained (experience TEXT NOT NULL, night TEXT NOT NULL, adapter TEXT NOT NULL, at TEXT NOT NULL,
            PRIMARY KEY (experience, night)) WITHOUT ROWID""",
        "CREATE TABLE term_counts (term INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
        "CREATE TABLE scorer (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE prompt_marks (mark INTEGER PRIMARY KEY)",
        "CREATE TABLE sentence_marks (mark INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (mark, seq)) WITHOUT ROWID",
        "CREATE TABLE answer_bands (band INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (band, seq)) WITHOUT ROWID",
    ),
    (   # 2: the phase of a companion's growth that a session belonged to
        "ALTER TABLE sessions ADD COLUMN phase TEXT",
        "CREATE INDEX experiences_rank ON experiences(status, prompt_key, total, session, id)",
    ),
    (   # 3: memory of fixed growth (made anew from the exchanges when it is next opened); candidates found by index
        "DROP TABLE term_counts", "DROP TABLE sentence_marks", "DROP TABLE answer_bands", "DROP INDEX experiences_rank",
        "DELETE FROM scorer WHERE key IN ('exchanges', 'recent', 'judged_to')", "DELETE FROM prompt_marks",
        "CREATE TABLE word_counts (term INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
        "CREATE TABLE pair_counts (page INTEGER PRIMARY KEY, counts BLOB NOT NULL)",
        "CREATE TABLE fingerprints (mark INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (mark, seq)) WITHOUT ROWID",
        # Exchanges that share text with later ones, until hindsight has judged them.
        "CREATE TABLE met (seq INTEGER PRIMARY KEY)",
        "ALTER TABLE experiences ADD COLUMN learned INTEGER NOT NULL DEFAULT 0",
        "UPDATE experiences SET learned = 1 WHERE id IN (SELECT experience FROM trained)",
        # Everything selection ranks by, so that a million experiences are ranked without reading their words.
        """CREATE INDEX experiences_rank ON experiences(total DESC, seq DESC, prompt_key, session)
            WHERE status = 'kept' AND NOT learned""",
        """CREATE INDEX experiences_newest ON experiences(seq DESC, prompt_key, session, total)
            WHERE status = 'kept' AND NOT learned""",
        # Also what teaching looks up: every kept answer to one question.
        "CREATE INDEX experiences_prompt ON experiences(prompt_key, learned) WHERE status = 'kept'",
    ),
)
FORMAT = len(STEPS)


def migrate(connection: sqlite3.Connection, where: str, steps: tuple[tuple[str, ...], ...] = STEPS) -> int:
    """Bring the database to the newest format, each step in its own transaction; returns the old number."""
    old = connection.execute("PRAGMA user_version").fetchone()[0]
    if old > len(steps):
        raise IntegrityError(f"{where} has format {old}; this edge_sleep knows up to {len(steps)}",
                             "use the newer edge_sleep that wrote it, or another `--home`")
    for number in range(old, len(steps)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done this step while we waited for the lock.
            if connection.execute("PRAGMA user_version").fetchone()[0] == number:
                for statement in steps[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:      # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise
    return old
