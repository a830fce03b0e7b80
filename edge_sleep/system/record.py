"""record.json: the whole truth about one night, filled in while it happens."""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_sleep.errors import EdgeSleepError, Outcome
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import read_json, write_json

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


class Recorder:
    """Keeps the record of one night and times its phases."""

    def __init__(self, file: Path, night: str, clock: Clock, events: EventLog):
        self.file = file
        self.clock = clock
        self.events = events
        # A resumed night goes on with its record: phases of all its runs stand in it.
        self.record = read_json(file, "record") if file.is_file() else blank(night, clock.stamp())

    @contextmanager
    def phase(self, name: str) -> Iterator[dict]:
        """Time a phase; its outcome is `done`, or the name of what ended it."""
        entry: dict[str, Any] = {"name": name, "seconds": None, "outcome": "done"}
        self.record["phases"].append(entry)
        self.events("phase", name=name, state="begin")
        began = self.clock.monotonic()
        try:
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


def read_records(nights: Path) -> list[dict]:
    """All records of a home, oldest first; a night that was cut before its first record is left out."""
    folders = sorted(nights.iterdir()) if nights.is_dir() else []
    return [read_json(folder / "record.json", "record") for folder in folders if (folder / "record.json").is_file()]
