"""A conversation on disk, in the shape that `ingest` reads, whole after every exchange and stamped with what answered."""
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.data.experience import Message
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import write_json

CONTEXT_MESSAGES = 8                      # earlier messages that a file which goes on with a conversation begins with


class Transcript:
    """One conversation. Every file holds one stamp: when other weights answer, the conversation goes on in a new file.

    context: what was said before by whom this home cannot vouch for; it is written as context, which teaches nothing.
    A file that somebody else changed, as `forget` does, stays as it is: the conversation goes on in a new one, without its past.
    """

    def __init__(self, folder: Path, companion: str, clock: Clock, kind: str = "chat", context: Sequence[Message] = ()):
        self.folder, self.companion, self.clock, self.kind = folder, companion, clock, kind
        self.paths: list[Path] = []
        self.document: dict[str, Any] | None = None
        self.exchanges = 0
        self._said = list(context)
        self._written: object = None

    @property
    def path(self) -> Path | None:
        """The file that is written now; None before the first exchange."""
        return self.paths[-1] if self.paths else None

    def add(self, prompt: str, response: str, identity: dict[str, Any], finish: str = "stop") -> Path:
        """Write the exchange durably; the file it stands in. `finish`: how the answer ended (serve/runtime.py)."""
        if self.path is not None and _state(self.path) != self._written:
            self._said, self.document = [], None
        if self.document is None or self.document["edge_sleep"] != identity:
            self._begin(identity)
        assert self.document is not None
        answer = self._turn("assistant", response) | ({} if finish == "stop" else {"finish_reason": finish})
        self.document["conversation"] += [self._turn("user", prompt), answer]
        self.document["end"] = self.clock.now().isoformat(timespec="seconds")
        write_json(self.paths[-1], self.document)
        self._written = _state(self.paths[-1])
        self._said += [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        self._said = self._said[-CONTEXT_MESSAGES:]
        self.exchanges += 1
        return self.paths[-1]

    def _begin(self, identity: dict[str, Any]) -> None:
        now = self.clock.now()
        self.paths.append(self._free(now))
        self.document = {"edge_sleep": identity, "start": now.isoformat(timespec="seconds"), "end": None,
                         "conversation": [self._turn(message["role"], message["content"]) | {"context": True}
                                          for message in self._said[-CONTEXT_MESSAGES:]]}

    def _turn(self, role: str, text: str) -> dict[str, Any]:
        return {"speaker": self.companion if role == "assistant" else "user", "text": text}

    def _free(self, now: datetime) -> Path:
        stem = f"{self.kind}-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}"
        names = (self.folder / f"{stem}{f'_{number}' if number else ''}.json" for number in range(10_000))
        return next(path for path in names if path not in self.paths and not path.exists())


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
