"""Read transcripts: files and folders in, sessions and named refusals out; never a traceback, never a silent zero."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from edge_sleep.data.documents import LARGEST_LINES_BYTES, NAMED, Lines, Refused, read_documents, read_lines
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.origin import in_path
from edge_sleep.data.shapes import (
    MODEL_KEYS,
    Found,
    Roles,
    buffer_rows,
    by_session,
    from_document,
    is_messages,
    message_of,
    model_of,
)
from edge_sleep.system.writers import Identity, being_written, identity

SUFFIXES = (".json", ".jsonl")
_STREAMED_BYTES = 4 << 20                 # larger JSONL is taken in parts
_BATCH = 1000                             # lines in a part


@dataclass(frozen=True)
class Refusal:
    """A file, or part of one, that was not taken, with a stable code and what was found.

    missing, unreadable, no_files, empty_file, too_large, not_text, invalid_json, invalid_lines,
    too_deep, no_dialogue, unknown_speakers, being_written.
    """

    path: Path
    reason: str
    detail: str


@dataclass
class Reading:
    sessions: list[Session] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    files_read: int = 0                    # files that gave at least one exchange

    def add(self, other: Reading) -> None:
        self.sessions += other.sessions
        self.refused += other.refused
        self.files_read += other.files_read


def session_id(exchanges: Iterable[Exchange]) -> str:
    """First 16 hex of sha256 over the exchanges' words: the same dialogue in two files is one session."""
    digest = hashlib.sha256()
    for exchange in exchanges:
        digest.update(f"{exchange.prompt}\0{exchange.response}\0".encode())
    return digest.hexdigest()[:16]


def find_files(paths: Iterable[Path]) -> Iterator[Path | Refusal]:
    """The transcript files under `paths`, sorted within each folder; hidden files are left out."""
    for path in map(Path, paths):
        if not path.exists():
            yield Refusal(path, "missing", "no such file or folder")
        elif not path.is_dir():
            yield path
        else:
            files = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names
                           if name.lower().endswith(SUFFIXES) and not name.startswith("."))
            yield from files
            if not files:
                yield Refusal(path, "no_files", f"no {' or '.join(SUFFIXES)} file in this folder")


def iter_paths(paths: Iterable[Path], companion_names: Iterable[str],
               teacher_names: Iterable[str]) -> Iterator[Reading]:
    """One Reading per file, several for a large one, so that neither is ever in memory at once.

    A file that a process has open for writing is not read: it is taken whole once it is closed.
    """
    roles = Roles.of(companion_names, teacher_names)
    written = being_written(SUFFIXES)
    for found in find_files(paths):
        if isinstance(found, Refusal):
            yield Reading(refused=[found])
        elif (writing := _writing(found, written)) is not None:
            yield Reading(refused=[writing])
        else:
            yield from iter_file(found, roles)


def _writing(path: Path, written: set[Identity]) -> Refusal | None:
    try:
        if identity(path) in written:
            return Refusal(path, "being_written", "a process has it open for writing; it is read once that has closed it")
    except OSError:
        pass                               # gone meanwhile: reading it will say so
    return None


def read_paths(paths: Iterable[Path], companion_names: Iterable[str], teacher_names: Iterable[str]) -> Reading:
    """Everything under `paths`. A dialogue that is in two files is one session (the first file's)."""
    reading, seen = Reading(), set[str]()
    for part in iter_paths(paths, companion_names, teacher_names):
        first = {session.id: session for session in reversed(part.sessions) if session.id not in seen}
        part.sessions = [session for session in part.sessions if first.get(session.id) is session]
        seen.update(first)
        reading.add(part)
    return reading


def read_file(path: Path, roles: Roles) -> Reading:
    try:
        before = path.stat()
        documents, problems = read_documents(path)
        after = path.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
            return Reading(refused=[Refusal(path, "being_written", "it changed while it was read")])
        sessions, unknown = _sessions(documents, path, roles)
    except Refused as refusal:
        return Reading(refused=[Refusal(path, refusal.reason, refusal.detail)])
    except RecursionError:
        return Reading(refused=[Refusal(path, "too_deep", "nested deeper than a transcript can be")])
    except OSError as error:
        return Reading(refused=[Refusal(path, "unreadable", error.strerror or str(error))])
    refused = [Refusal(path, "invalid_lines", problems)] if problems else []
    refused += [Refusal(path, "unknown_speakers", unknown)] if unknown else []
    return Reading(sessions, refused, files_read=1)


def iter_file(path: Path, roles: Roles) -> Iterator[Reading]:
    """The file in parts where it is JSONL and large, cut between conversations; whole otherwise."""
    try:
        size = path.stat().st_size if path.suffix.lower() == ".jsonl" else 0
    except OSError:
        size = 0
    if not _STREAMED_BYTES < size <= LARGEST_LINES_BYTES:
        yield read_file(path, roles)
        return
    bad = Lines()
    unknown: set[str] = set()
    found = False
    batch: list[Any] = []
    try:
        for document in chain(read_lines(path, bad), [None]):
            if document is not None:
                batch.append(document)
            if not batch or document is not None and (len(batch) < _BATCH or _belongs_to_next(document, roles)):
                continue
            try:
                sessions, others = _sessions(batch, path, roles)
            except Refused as refusal:
                unknown |= {refusal.detail} if refusal.reason == "unknown_speakers" else set()
            else:
                unknown |= {others} if others else set()
                yield Reading(sessions, files_read=0 if found else 1)
                found = True
            batch = []
    except OSError as error:
        yield Reading(refused=[Refusal(path, "unreadable", error.strerror or str(error))])
        return
    refused = [Refusal(path, "unknown_speakers", detail) for detail in sorted(unknown)[:1]]
    if bad.numbers:
        refused.append(Refusal(path, "invalid_lines" if bad.read else "invalid_json", bad.note()))
    if not found and not refused:
        refused.append(Refusal(path, "no_dialogue", f"valid JSON, but no prompt with an answer in {bad.read} line(s)"))
    yield Reading(refused=refused)


def _belongs_to_next(document: Any, roles: Roles) -> bool:
    """Whether the next line may go on with this one's conversation."""
    return isinstance(document, dict) and ("session" in document or "conversation_id" in document or "turn" in document
                                           or message_of(document, roles) is not None) and not _is_conversation(document, roles)


def _sessions(documents: list[Any], path: Path, roles: Roles) -> tuple[list[Session], str]:
    """The sessions of a file, and who else in it seemed to answer."""
    misses = Found()
    sessions = []
    for name, document, found in _units(documents, roles):
        misses.unknown |= found.unknown
        misses.entries += found.entries
        if found.exchanges:
            sessions.append(_session(name, document if isinstance(document, dict) else {}, found, path))
    unknown = ""
    if misses.unknown:
        unknown = (f"not this companion: {', '.join(sorted(misses.unknown)[:NAMED])}; "
                   "name whoever answers in `companion.companion_names`")
    if not sessions and unknown:
        raise Refused("unknown_speakers", unknown)
    if not sessions:
        raise Refused("no_dialogue", f"valid JSON, but no prompt with an answer in {misses.entries} object(s)")
    return sessions, unknown


def _units(documents: list[Any], roles: Roles) -> Iterator[tuple[str, Any, Found]]:
    """(session name, document, dialogues): which parts of a file are one conversation each."""
    if len(documents) == 1:
        document = documents[0]
        if rows := buffer_rows(document):
            yield from ((name, {"type": "experience_buffer", **stated}, found) for name, stated, found in by_session(rows, roles))
            return
        if not (isinstance(document, list) and any(_is_conversation(item, roles) for item in document[:4])):
            yield "", document, from_document(document, roles)
            return
        documents = document
    rest = []
    for document in documents:
        if _is_conversation(document, roles):
            yield "", document, from_document(document, roles)
        else:
            rest.append(document)
    if rest and is_messages(rest, roles):
        yield "", {}, from_document(rest, roles)
    elif rest and all(isinstance(row, dict) and ("session" in row or "conversation_id" in row) for row in rest):
        yield from by_session(rest, roles)
    elif rest:
        yield "", {}, from_document(rest, roles)


def _is_conversation(item: Any, roles: Roles) -> bool:
    return isinstance(item, dict) and any(
        is_messages(item.get(key), roles) for key in ("messages", "conversations", "conversation", "turns"))


def _session(name: str, document: dict, found: Found, path: Path) -> Session:
    def stated(*keys: str) -> str | None:
        value = next((document[key] for key in keys if document.get(key) not in (None, "")), None)
        return str(value) if isinstance(value, (str, int, float)) else None

    stamp = document.get("edge_sleep")
    return Session(
        id=session_id(found.exchanges), source=str(path), exchanges=tuple(found.exchanges),
        kind=document["type"] if document.get("type") == "experience_buffer" else "+".join(dict.fromkeys(found.shapes)),
        number=name or stated("session", "session_number", "id"), phase=stated("phase"),
        started=stated("start", "started", "start_time", "date", "timestamp"),
        model=stated(*MODEL_KEYS) or model_of(document.get("metadata")) or in_path(str(path)),
        stamp=stamp if isinstance(stamp, dict) else {})
