"""The store of experiences: one SQLite file per home, in WAL mode, every change one transaction.

Nothing is deleted here. An exchange is kept, quarantined (with reason and evidence) or evicted (its
salience was too low), and its owner can move it.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.data import contexts
from edge_sleep.data.experience import Exchange, Experience, Session
from edge_sleep.data.memory import ERASED, LISTED, STORE_FULL
from edge_sleep.data.quality import Finding, QuarantineReason
from edge_sleep.data.salience import DIMENSIONS
from edge_sleep.data.store import Store
from edge_sleep.data.words import mark, normalised
from edge_sleep.errors import UsageError
from edge_sleep.system.clock import Clock

COLLECTED = "collected"                   # the kind of a session that was taken up while it was talked
TAUGHT = "taught"                         # the kind of a session in which a person gave the answer
_SCORES = (*DIMENSIONS, "total")
_COLUMNS = "id, prompt, response, session, status, reason, trimmed, context, " + ", ".join(_SCORES)


@dataclass(frozen=True)
class Row:
    """What ingest decided about one exchange."""

    exchange: Exchange
    response: str                          # what may be learned: the answer, or its whole sentences
    salience: dict[str, float]
    status: str = "kept"
    reason: str | None = None
    evidence: str | None = None
    trimmed: bool = False
    remember: bool = True                  # later answers are compared with it; not with another model's


class Buffer(Store):
    """The experiences of one home. Use as a context manager."""

    def __init__(self, path: Path, clock: Clock | None = None):
        self._lately = contexts.Lately()
        super().__init__(path, clock)

    def reset(self) -> None:
        self._lately.clear()
        super().reset()

    def add(self, session: Session, rows: Iterable[Row]) -> int:
        """Store a session and its rows in one transaction; returns how many were new."""
        with self.transaction():
            self.add_session(session)
            return sum(self.insert(session.id, row) for row in rows)

    def add_session(self, session: Session) -> bool:
        """True when the session was not known."""
        with self.transaction():
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (session.id, session.source, session.kind, session.number, session.started, session.model,
                 json.dumps(session.stamp, ensure_ascii=False), self._clock.stamp(), session.phase))
            return cursor.rowcount > 0

    def collected(self, session: Session) -> str | None:
        """The live session of which this is the transcript: the one that holds all its exchanges."""
        ids = [exchange.id for exchange in session.exchanges]
        for (name,) in self.rows(
                "SELECT s.id FROM experiences e JOIN sessions s ON s.id = e.session WHERE e.id = ? AND s.kind = ?",
                (ids[0] if ids else "", COLLECTED)):
            found = self.rows(
                "SELECT COUNT(*) FROM found_in WHERE session = ? AND experience IN " + LISTED,
                (name, json.dumps(ids)))
            return name if found[0][0] == len(set(ids)) else None
        return None

    def insert(self, session: str, row: Row) -> bool:
        """Store one row; False when the same words are stored already (it is then only linked)."""
        exchange = row.exchange
        with self.transaction():
            self._connection.execute("INSERT OR IGNORE INTO found_in VALUES (?, ?)", (session, exchange.id))
            cursor = self._connection.execute(
                f"""INSERT INTO experiences (id, session, turn, at, prompt, response, said, context, labels, trimmed,
                    prompt_key, {', '.join(_SCORES)}, status, reason, evidence)
                    VALUES ({', '.join('?' * 20)}) ON CONFLICT (id) DO NOTHING""",
                (exchange.id, session, exchange.turn, exchange.at, exchange.prompt, row.response,
                 exchange.response if exchange.response != row.response else None,
                 self._lately.encode(exchange.context), json.dumps(exchange.labels, ensure_ascii=False),
                 int(row.trimmed), mark(normalised(exchange.prompt)), *(row.salience[name] for name in _SCORES),
                 row.status, row.reason, row.evidence))
            if cursor.rowcount == 0:
                return False
            if row.remember:
                self.memory.remember(cursor.lastrowid or 0, exchange.prompt, exchange.response)
            self._lately.note(exchange)
            return True

    def known(self, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """(status, reason) of those of the ids that are stored."""
        return {row[0]: row[1:] for row in self.rows(
            f"SELECT id, status, reason FROM experiences WHERE id IN {LISTED}", (json.dumps(ids),))}

    def adopt(self, session: str, row: Row) -> None:
        """Store anew an exchange that was set aside as another model's: it turned out to be this companion's."""
        with self.transaction():
            self.change("DELETE FROM experiences WHERE id = ? AND reason = ?",
                        (row.exchange.id, QuarantineReason.OTHER_MODEL.value))
            self.insert(session, row)

    def link(self, session: str, experience_id: str) -> None:
        """Note that a known exchange was found in another session too."""
        with self.transaction():
            self._connection.execute("INSERT OR IGNORE INTO found_in VALUES (?, ?)", (session, experience_id))

    def _experiences(self, where: str, values: Iterable[object] = (), limit: int | None = None) -> list[Experience]:
        values = tuple(values)
        rows = self.rows(f"SELECT {_COLUMNS} FROM experiences WHERE {where} ORDER BY seq LIMIT ?",
                         (*values, -1 if limit is None else limit))
        talks = contexts.resolved(self.rows, [row[7] for row in rows])
        nights: dict[str, list[str]] = {}
        for experience_id, night in self.rows(
                f"""SELECT experience, night FROM trained WHERE experience IN (SELECT id FROM experiences WHERE {where})
                    ORDER BY at, night""", values):
            nights.setdefault(experience_id, []).append(night)
        return [Experience(id=row[0], prompt=row[1], response=row[2], session=row[3], status=row[4], reason=row[5],
                           trimmed=bool(row[6]), context=context, salience=dict(zip(_SCORES, row[8:], strict=True)),
                           trained_in=tuple(nights.get(row[0], ()))) for row, context in zip(rows, talks, strict=True)]

    def items(self, status: str | None = None, search: str | None = None, limit: int | None = None) -> list[Experience]:
        """Experiences in the order they came; `search` finds its text in the prompt or the answer."""
        where, values = ["1"], []
        if status is not None:
            where.append("status = ?")
            values.append(status)
        if search:
            pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            where.append("(prompt LIKE ? ESCAPE '\\' OR response LIKE ? ESCAPE '\\')")
            values += [pattern, pattern]
        return self._experiences(" AND ".join(where), values, limit)

    def get(self, experience_id: str) -> Experience:
        """One experience by its id, or by the beginning of it when only one fits."""
        found = self._experiences("id >= ? AND id < ?", (experience_id, experience_id + "g"), limit=2)
        exact = [experience for experience in found if experience.id == experience_id]
        if not (exact or len(found) == 1):
            raise UsageError(f"{'several experiences begin with' if found else 'no experience has the id'} "
                             f"{experience_id!r}", "`edge-sleep experiences` lists them")
        return (exact or found)[0]

    def by_ids(self, ids: Iterable[str]) -> list[Experience]:
        """Experiences in the order of `ids`; unknown ids are left out."""
        wanted = list(ids)
        found = {experience.id: experience for experience in self._experiences(f"id IN {LISTED}", (json.dumps(wanted),))}
        return [found[experience_id] for experience_id in wanted if experience_id in found]

    def by_seqs(self, seqs: Iterable[int]) -> list[Experience]:
        """Experiences by their numbers, in the order they came."""
        return self._experiences(f"seq IN {LISTED}", (json.dumps(list(seqs)),))

    def evidence(self, experience_id: str) -> str | None:
        """Why the experience has its reason: the words or numbers that decided."""
        rows = self.rows("SELECT evidence FROM experiences WHERE id = ?", (experience_id,))
        return rows[0][0] if rows else None

    def quarantine(self, experience_id: str, reason: str = QuarantineReason.BY_HAND.value) -> None:
        self._set_status(experience_id, "quarantined", reason)

    def release(self, experience_id: str) -> None:
        """A person overrules the gate: kept from now on, with the evidence still on record."""
        found = self.get(experience_id)
        if found.reason == STORE_FULL:
            raise UsageError(f"the words of {found.id} were dropped when the store was full",
                             "raise `data.max_experiences`, then `edge-sleep teach` what should be learned")
        if found.reason == ERASED:
            raise UsageError(f"the words of {found.id} were erased with `forget`", "`edge-sleep teach` what should be learned")
        self._set_status(experience_id, "kept", None)

    def _set_status(self, experience_id: str, status: str, reason: str | None) -> None:
        full = self.get(experience_id).id
        with self.transaction():
            self._connection.execute("UPDATE experiences SET status = ?, reason = ?, by_hand = 1 WHERE id = ?",
                                     (status, reason, full))

    def last_seq(self) -> int:
        return self.rows("SELECT COALESCE(MAX(seq), 0) FROM experiences")[0][0]

    def rejudge(self, judge: Callable[[str, str, int], Finding | None]) -> list[int]:
        """Quarantine what `judge(prompt, answer, number)` refuses with hindsight; returns the number of each.

        Asked about are the earlier answers that share text with what came since the last call. Left alone:
        what a person decided, and what a night has learned already.
        """
        moved = []
        with self.transaction():
            for seq in self.memory.met():
                for prompt, answer in self.rows("""SELECT prompt, COALESCE(said, response) FROM experiences
                                                    WHERE seq = ? AND status = 'kept' AND NOT by_hand AND NOT learned""", (seq,)):
                    if finding := judge(prompt, answer, seq):
                        self._refuse(seq, finding)
                        moved.append(seq)
            self.memory.judged()
        return moved

    def condemn(self, session: str, judge: Callable[[list[str | None]], Finding | None]) -> list[int]:
        """Quarantine what is left of a session that `judge(reason of each refused answer)` refuses; returns the numbers.

        Left alone: what a person decided or taught, and what a night has learned already.
        """
        with self.transaction():
            rows = self.rows("""SELECT e.seq, e.status, e.reason, e.by_hand OR e.learned, e.labels FROM found_in f
                                 JOIN experiences e ON e.id = f.experience WHERE f.session = ? ORDER BY e.seq""", (session,))
            finding = judge([reason if status == "quarantined" else None for _, status, reason, _, _ in rows])
            if finding is None:
                return []
            moved = [seq for seq, status, _, decided, labels in rows
                     if status == "kept" and not decided and not json.loads(labels).get("taught")]
            for seq in moved:
                self._refuse(seq, finding)
            return moved

    def sessions_of(self, seqs: Iterable[int]) -> list[str]:
        """The sessions in which these exchanges were found."""
        found = {row[0] for seq in seqs for row in self.rows(
            "SELECT f.session FROM experiences e JOIN found_in f ON f.experience = e.id WHERE e.seq = ?", (seq,))}
        return sorted(found)

    def _refuse(self, seq: int, finding: Finding) -> None:
        self._connection.execute("UPDATE experiences SET status = 'quarantined', reason = ?, evidence = ? WHERE seq = ?",
                                 (finding.reason.value, finding.evidence, seq))

    def mark_trained(self, night: str, adapter: str, ids: Iterable[str]) -> None:
        learned = list(ids)
        with self.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO trained VALUES (?, ?, ?, ?)",
                                         [(experience, night, adapter, self._clock.stamp()) for experience in learned])
            self._connection.executemany("UPDATE experiences SET learned = 1 WHERE id = ?", [(one,) for one in learned])

    def lineage(self, experience_id: str) -> list[dict[str, str]]:
        """Which nights learned from an experience, oldest first, and the adapter that each made of it."""
        return [{"night": night, "adapter": adapter, "at": at} for night, adapter, at in self.rows(
            "SELECT night, adapter, at FROM trained WHERE experience = ? ORDER BY at, night", (experience_id,))]

    def untrained(self) -> list[Experience]:
        """Kept experiences that no night has learned from."""
        return self._experiences("status = 'kept' AND NOT learned")

    def trained(self) -> list[Experience]:
        """Kept experiences that some night learned from; `trained_in` names the nights, oldest first."""
        return self._experiences("status = 'kept' AND learned")

    def trained_sessions(self) -> set[str]:
        """Sessions of which something was learned: too late to hold them out."""
        return {row[0] for row in self.rows(
            "SELECT DISTINCT f.session FROM found_in f JOIN trained t ON t.experience = f.experience")}

    def sessions(self) -> list[dict]:
        """Every session with where it came from and how many experiences it gave."""
        rows = self.rows("""SELECT s.id, s.source, s.kind, s.number, s.started, s.model, s.stamp, s.added, s.phase,
                             (SELECT COUNT(*) FROM found_in f WHERE f.session = s.id) FROM sessions s ORDER BY s.added, s.id""")
        names = ("id", "source", "kind", "number", "started", "model", "stamp", "added", "phase", "exchanges")
        return [{**dict(zip(names, row, strict=True)), "stamp": json.loads(row[6])} for row in rows]

    def counts(self) -> dict:
        """{"sessions", "experiences", "kept", "quarantined", "evicted", "trained", "untrained", "reasons": {reason: n}}."""
        by_status = dict(self.rows("SELECT status, COUNT(*) FROM experiences GROUP BY status"))
        reasons = dict(self.rows("SELECT reason, COUNT(*) FROM experiences WHERE status = 'quarantined' GROUP BY reason"))
        kept = by_status.get("kept", 0)
        untrained = self.rows("SELECT COUNT(*) FROM experiences WHERE status = 'kept' AND NOT learned")[0][0]
        return {"sessions": self.rows("SELECT COUNT(*) FROM sessions")[0][0], "experiences": sum(by_status.values()),
                "kept": kept, "quarantined": by_status.get("quarantined", 0), "evicted": by_status.get("evicted", 0),
                "trained": kept - untrained, "untrained": untrained, "reasons": reasons}
