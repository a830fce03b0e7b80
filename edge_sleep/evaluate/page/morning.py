"""What the page is made of, and collecting it from a home."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Experience
from edge_sleep.data.memory import LISTED
from edge_sleep.device.telemetry import replay
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.errors import IntegrityError
from edge_sleep.evaluate.page.words import day, moment
from edge_sleep.system.events import read_events
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home
from edge_sleep.system.record import read_records

NIGHTS = 60                               # of the trend
SHOWN_LEARNED, SHOWN_REFUSED = 60, 60     # exchanges whose words are shown: a page stays under a megabyte


@dataclass(frozen=True)
class Talk:
    """One session and what of it was taught tonight, the strongest first."""

    name: str
    when: str | None
    exchanges: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Refusal:
    prompt: str
    response: str
    reason: str
    evidence: str | None
    session: str


@dataclass(frozen=True)
class Morning:
    """One night and what stands around it. A pure value: the page is a function of it."""

    record: dict
    events: Sequence[dict] = ()
    readings: Sequence[Sequence[Reading]] = ()                   # one list for each run of the night
    earlier: Sequence[dict] = ()                                 # records, oldest first
    learned: Sequence[Talk] = ()
    refused: Sequence[Refusal] = ()
    refused_counts: Mapping[str, int] = field(default_factory=dict)     # since the night before, by reason
    bytes: Mapping[str, int] = field(default_factory=dict)       # of each adapter that is kept
    patterns: Mapping[str, Any] = field(default_factory=dict)    # patterns.json


def of_home(home: Home, record: dict) -> Morning:
    """Everything the page tells of this night. What a home lacks is left out; what is damaged in it raises."""
    folder = home.night(record["night"])
    events = [event for event in read_events(folder / "events.jsonl") if isinstance(event, dict)]
    earlier = [old for old in read_records(home.nights) if old["night"] < record["night"]]
    learned: list[Talk] = []
    refused: list[Refusal] = []
    counts: dict[str, int] = {}
    if home.experiences.is_file():
        with Buffer(home.experiences) as buffer:
            sessions = {session["id"]: session for session in buffer.sessions()}
            ids = (record.get("data") or {}).get("experiences") or []
            learned = _talks(buffer.by_ids(ids), sessions)
            before = [ended for old in earlier if (ended := moment(old.get("ended"))) is not None]
            refused, counts = _refusals(buffer, sessions, before[-1] if before else None, moment(record.get("ended")))
    nights = [*earlier, record][-NIGHTS:]
    return Morning(record, events, _runs(folder / "telemetry.jsonl", events), earlier, learned, refused, counts,
                   _bytes(home, [night.get("candidate") for night in nights]),
                   read_json(folder / "patterns.json", "patterns") if (folder / "patterns.json").is_file() else {})


def _name(session: dict | None) -> str:
    if session is None:
        return "a session that is no longer known"
    if session.get("number") is not None:
        return f"session {session['number']}"
    return Path(str(session.get("source") or session["id"])).name


def _talks(found: Sequence[Experience], sessions: Mapping[str, dict]) -> list[Talk]:
    groups: dict[str, list[Experience]] = {}
    for item in found:
        groups.setdefault(item.session, []).append(item)
    talks = []
    for identity, items in groups.items():
        session = sessions.get(identity)
        items.sort(key=lambda item: -item.salience["total"])
        talks.append(Talk(_name(session), session.get("started") if session else None,
                          tuple((item.prompt, item.response) for item in items)))
    return sorted(talks, key=lambda talk: (talk.when or "", talk.name))


def _refusals(buffer: Buffer, sessions: Mapping[str, dict], since: datetime | None,
              until: datetime | None) -> tuple[list[Refusal], dict[str, int]]:
    """(what is set aside of the sessions taken up since the night before, how much by reason)."""
    tonight = [identity for identity, session in sessions.items() if (added := moment(session["added"])) is not None
               and (since is None or added > since) and (until is None or added <= until)]
    rows = buffer.rows("SELECT id, reason, evidence FROM experiences WHERE status = 'quarantined' AND session IN "
                       f"{LISTED} ORDER BY reason, seq", (json.dumps(tonight),))
    counts: dict[str, int] = {}
    for _, reason, _ in rows:
        counts[reason or "by hand"] = counts.get(reason or "by hand", 0) + 1
    shown = _in_turn(rows)
    words = {item.id: item for item in buffer.by_ids(identity for identity, _, _ in shown)}
    return [Refusal(words[identity].prompt, words[identity].response, reason or "by hand", evidence,
                    _name(sessions.get(words[identity].session)))
            for identity, reason, evidence in shown if identity in words], counts


def _in_turn(rows: Sequence[tuple]) -> list[tuple]:
    """So many rows that every reason is shown, in the order of the reasons."""
    ranks: dict[str, int] = {}
    ranked = []
    for row in rows:
        ranks[row[1]] = ranks.get(row[1], 0) + 1
        ranked.append((ranks[row[1]], row))
    kept = sorted(ranked, key=lambda item: item[0])[:SHOWN_REFUSED]
    return [row for _, row in sorted(kept, key=lambda item: (item[1][1] or "", item[0]))]


def _runs(file: Path, events: Sequence[dict]) -> list[list[Reading]]:
    """Readings by run. Their clock starts anew with the machine, so that they are parted where it falls, or leaps furthest."""
    if not file.is_file():
        return []
    found: list[Reading] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            found += replay.parse([line])
        except ValueError:                                       # torn by a power cut, and written on by the next run
            continue
    runs = sum(event.get("event") == "telemetry" and event.get("source") not in (None, "none") for event in events)
    leaps = [(float("inf") if after.at < before.at else after.at - before.at, index)
             for index, (before, after) in enumerate(zip(found, found[1:], strict=False), 1)]
    cuts = sorted(index for _, index in sorted(leaps, reverse=True)[:max(0, runs - 1)])
    return [part for begin, end in zip([0, *cuts], [*cuts, len(found)], strict=True) if (part := found[begin:end])]


def _bytes(home: Home, adapters: Sequence[str | None]) -> dict[str, int]:
    sizes = {}
    for adapter in adapters:
        if adapter and (home.adapter(adapter) / manifest.NAME).is_file():
            try:
                files = manifest.read(home.adapter(adapter))["files"]
            except IntegrityError:                               # `verify` names it; here its size is not known
                continue
            sizes[adapter] = sum(entry["bytes"] for entry in files.values())
    return sizes


def since(earlier: Sequence[dict]) -> str:
    """Since when this night's refusals are counted, in words."""
    return f"since the night of {day(earlier[-1].get('started'))}" if earlier else "so far"
