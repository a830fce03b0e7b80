"""events.jsonl: what happened during a night, one JSON object a line, readable while it runs."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sleep.system.clock import Clock
from edge_sleep.system.files import json_lines, storage_errors


class EventLog:
    """Appends events to a file and hands each to an optional listener (progress on a terminal)."""

    def __init__(self, path: Path | None, clock: Clock, listener: Callable[[dict], None] | None = None):
        self.path = path
        self.clock = clock
        self.listener = listener

    def __call__(self, event: str, **facts: Any) -> None:
        entry = {"at": self.clock.stamp(), "event": event, **facts}
        if self.path is not None:
            line = (json.dumps(entry, ensure_ascii=False, default=str) + "\n").encode()
            with storage_errors(self.path):
                # One write of one line in append mode: a kill leaves at most a torn last line.
                descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    os.write(descriptor, line)
                finally:
                    os.close(descriptor)
        if self.listener is not None:
            self.listener(entry)


def read_events(path: Path) -> list[dict]:
    """All whole events of a log; a torn last line (power cut) is left out."""
    if not path.is_file():
        return []
    events = []
    for line in json_lines(path.read_text(encoding="utf-8", errors="replace")):
        try:
            events.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return events
