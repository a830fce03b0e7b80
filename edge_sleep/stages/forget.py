"""`forget`: a conversation is erased from everything a home holds, and the companion goes back to before it was learned.

Order, so that a power cut at any instant leaves less of the words and never a pointer to what is gone: the pointer first, then
adapters and exports, nights, the home's own transcripts, the store last. Doing it again finishes it.
"""
from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import lineage, store
from edge_sleep.data import forget as words
from edge_sleep.data.buffer import Buffer
from edge_sleep.errors import IntegrityError
from edge_sleep.sync import ledger, outbox
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import json_lines, read_json, write_bytes, write_json
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger as jobs

MARK = "[forgotten]"
# What a night leaves beside its record that holds words; it can be made from the record again, or is only for a resume.
_MADE_OF_WORDS = ("report.txt", "report.html", "patterns.json", "events.jsonl")


def plan(home: Home, buffer: Buffer, name: str) -> dict[str, Any]:
    """What forgetting `name` would do; changes nothing. Raises UsageError where nothing is called so."""
    wanted = words.find(buffer, name)
    gone = _descendants(home, wanted.adapters)
    now = store.incumbent(home)
    target = now
    while target in gone:
        target = lineage.parent_of(home, target) if target is not None else None
    outside = [source for source in wanted.sources if not Path(source).is_relative_to(home.root)]
    published = {parcel.id for parcel in ledger.read(home).parcels}
    return {"what": wanted.what, "exchanges": len(wanted.ids), "shared_with_other_sessions": list(wanted.kept),
            "adapters": gone, "published": [adapter for adapter in gone if adapter in published], "current_before": now,
            "current_after": target, "transcripts_outside": outside,
            "learned_anew": _learned_anew(buffer, gone, wanted.ids), "wanted": wanted}


def carry_out(home: Home, buffer: Buffer, planned: dict[str, Any], clock: Clock) -> None:
    """Do it. The night lock is held by the caller."""
    wanted: words.Wanted = planned["wanted"]
    if planned["current_after"] != planned["current_before"]:
        store.rollback(home, planned["current_after"] or store.BASE, clock)
    outbox.drop(home, planned["adapters"])               # what waits to be sent is sealed: no word of it could be found there
    for adapter in planned["adapters"]:
        shutil.rmtree(home.adapter(adapter), ignore_errors=True)
        for exported in home.exports.glob(f"*/{adapter}*"):
            shutil.rmtree(exported, ignore_errors=True)
    store.rebuild(home)
    shutil.rmtree(home.cache, ignore_errors=True)
    for night in sorted(home.nights.iterdir()) if home.nights.is_dir() else []:
        _clear_night(night, wanted.texts, set(planned["adapters"]))
    jobs.forget(home)
    for folder in (home.sessions, home.root / "outbox", home.root / "jobs"):
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file() and holds(file, wanted.texts):
                _clear_transcript(file, wanted.texts)
    words.erase(buffer, wanted, planned["adapters"])


def holds(file: Path, texts: Sequence[str]) -> bool:
    """Whether a file has one of the texts in it, as it is or as JSON writes it."""
    content = file.read_bytes()
    return any(form in content for text in texts for form in _forms(text))


def _forms(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()


def _descendants(home: Home, adapters: Sequence[str]) -> list[str]:
    """These adapters and all that grew from them, oldest first, as far as they are here."""
    found: list[str] = []
    for entry in store.history(home):
        try:
            family = lineage.ids(home, entry["id"])
        except IntegrityError:
            family = [entry["id"]]
        if set(family) & set(adapters):
            found.append(entry["id"])
    return found


def _learned_anew(buffer: Buffer, adapters: Sequence[str], erased: Sequence[str]) -> int:
    """Experiences that only these adapters had learned, the erased ones left out."""
    rows = buffer.rows("SELECT experience, adapter FROM trained")
    elsewhere = {experience for experience, adapter in rows if adapter not in adapters}
    return len({experience for experience, _ in rows} - elsewhere - set(erased))


def _clear_night(night: Path, texts: Sequence[str], adapters: set[str]) -> None:
    """A night that learned from it keeps its figures and loses its words; any other loses those that are erased."""
    record_file = night / "record.json"
    record = read_json(record_file, "record") if record_file.is_file() else {}
    learned = record.get("candidate") in adapters
    state = night / "state"
    if state.is_dir() and (learned or any(file.is_file() and holds(file, texts) for file in state.rglob("*"))):
        shutil.rmtree(state)                             # of an unfinished night: the next one begins anew
    for name in _MADE_OF_WORDS:
        file = night / name
        if file.is_file() and (learned or holds(file, texts)):
            file.unlink()
    if record and (learned or holds(record_file, texts)):
        gate = record.get("gate") or {}
        if gate.get("samples"):
            gate["samples"] = []
        write_json(record_file, _without(record, texts) | {"forgotten": True})


def _clear_transcript(file: Path, texts: Sequence[str]) -> None:
    """The home's own transcript, its other exchanges left as they are; a file that is no JSON goes as a whole."""
    try:
        text = file.read_text(encoding="utf-8")
        cleared = [json.dumps(_without(json.loads(line), texts), ensure_ascii=False)
                   for line in (json_lines(text) if file.suffix == ".jsonl" else [text]) if line.strip()]
    except (ValueError, UnicodeDecodeError):
        file.unlink()
        return
    write_bytes(file, ("\n".join(cleared) + "\n").encode())


def _without(value: Any, texts: Sequence[str]) -> Any:
    """The document with every string that holds one of the texts replaced."""
    if isinstance(value, dict):
        return {name: _without(part, texts) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(part, texts) for part in value]
    return MARK if isinstance(value, str) and any(text in value for text in texts) else value
