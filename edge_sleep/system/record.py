"""record.json: the whole truth about one night, filled in while it happens."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_sleep.errors import EdgeSleepError, IntegrityError, Outcome
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import read_object, write_json

FORMAT = 1


def blank(night: str, started: str) -> dict[str, Any]:
    """Every field of a record; what is not measured stays null."""
    return {
        "format": FORMAT, "night": night, "outcome": None, "reason": None, "exit_code": None,
        "started": started, "ended": None, "base": None, "parent": None, "candidate": None, "phases": [],
        "data": {"sessions": None, "exchanges": None, "new": None, "selected": None, "replay": None,
                 "quarantined": {}, "redacted": {}, "tokens": None, "supervised_tokens": None},
        "plan": {"peak_bytes": None, "seconds": None, "where": None, "reasons": []},
        "measured": {"peak_bytes": None, "rss_peak_bytes": None, "load_seconds": None, "step_seconds_p50": None,
                     "tokens_per_second": None, "paused_seconds": None, "energy_joules": None, "max_celsius": None},
        "train": {"steps": None, "epochs": None, "loss_first": None, "loss_last": None, "stop_reason": None, "held_out": None},
        "gate": {"verdict": None, "vetoes": [], "reasons": [], "probes": {"select": None, "confirm": None},
                 "metrics": {}},
        "environment": {},
    }


_MEASURED = tuple(blank("", "")["measured"])


class Recorder:
    """Keeps the record of one night and times its phases."""

    def __init__(self, file: Path, night: str, clock: Clock, events: EventLog):
        self.file = file
        self.clock = clock
        self.events = events
        # A resumed night goes on with its record: phases of all its runs stand in it.
        self.record = _begun(file) or blank(night, clock.stamp())

    @contextmanager
    def phase(self, name: str) -> Iterator[dict]:
        """Time a phase; its outcome is `done`, or the name of what ended it."""
        entry: dict[str, Any] = {"name": name, "seconds": None, "outcome": "done"}
        self.record["phases"].append(entry)
        began = self.clock.monotonic()
        try:
            self.events("phase", name=name, state="begin")       # a disk that is full refuses this, too
            yield entry
        except EdgeSleepError as error:
            entry["outcome"] = error.outcome.value
            raise
        except BaseException as error:
            entry["outcome"] = type(error).__name__
            raise
        finally:
            entry["seconds"] = round(self.clock.monotonic() - began, 3)
            self.events("phase", name=name, state="end", seconds=entry["seconds"], outcome=entry["outcome"])

    def close(self, outcome: Outcome, reason: str, exit_code: int | None = None) -> dict:
        """Name the end and write the record durably."""
        self.record |= {"outcome": outcome.value, "reason": reason, "ended": self.clock.stamp(),
                        "exit_code": int(outcome.exit_code if exit_code is None else exit_code)}
        self.save()
        self.events("night", state="end", outcome=outcome.value, reason=reason)
        return self.record

    def save(self) -> None:
        write_json(self.file, self.record)


def night_id(nights: Path, clock: Clock) -> str:
    """Local date and time of its beginning; a letter more where that second is taken."""
    stem = clock.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *"bcdefghijklmnopqrstuvwxyz"):
        if not (nights / f"{stem}{suffix}").exists():
            return f"{stem}{suffix}"
    time.sleep(1)
    return night_id(nights, clock)


def read(file: Path) -> dict[str, Any]:
    """The record of one night, with every field that a record has. Raises IntegrityError where it is not whole."""
    record = read_object(file, "record", "night", "outcome")
    for key, of in blank("", "").items():
        found = record.setdefault(key, of)
        if isinstance(of, (dict, list)) and not isinstance(found, type(of)):
            raise _not_whole(file, key)
        if isinstance(of, dict):
            record[key] = {**of, **found}
    if not all(value is None or isinstance(value, (int, float)) for value in map(record["measured"].get, _MEASURED)):
        raise _not_whole(file, "measured")
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) and "seconds" in one for one in record["phases"]):
        raise _not_whole(file, "phases")
    if not isinstance(record["base"], (dict, type(None))):
        raise _not_whole(file, "base")
    if not isinstance(record["night"], str) or record["outcome"] not in (None, *(one.value for one in Outcome)):
        raise _not_whole(file, "night, outcome")
    return record


def _not_whole(file: Path, key: str) -> IntegrityError:
    return IntegrityError(f"record {file} is not whole: {key} is not what it should be",
                          "`edge-sleep verify --all` says what is still good")


def _begun(file: Path) -> dict[str, Any] | None:
    """What the runs before this one wrote. A record that is damaged is begun anew: it decides nothing of the night."""
    try:
        return read(file) if file.is_file() else None
    except IntegrityError:
        return None


def read_records(nights: Path) -> list[dict]:
    """All whole records of a home, oldest first.

    A night that was cut before its first record is left out, and so is a damaged one: no old record may keep later nights from
    beginning (`verify --all` names it).
    """
    found = []
    for folder in sorted(nights.iterdir()) if nights.is_dir() else []:
        if (folder / "record.json").is_file():
            with suppress(IntegrityError):
                found.append(read(folder / "record.json"))
    return found
