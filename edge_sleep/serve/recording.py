"""Which transcript an exchange belongs to, where every request brings its whole conversation along.

A request goes on with a conversation when what it brings is, word for word, what that conversation holds so far. What it
brings besides was said elsewhere: by other weights, or by nobody. It is kept as context, which teaches nothing.
"""
from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sleep.data.experience import Message
from edge_sleep.serve.transcript import Transcript
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import canonical_json

_OPEN = 64                                # conversations that can be gone on with; older ones go on in a new file


class Recorder:
    """Conversations of one server, into the folder that the night reads."""

    def __init__(self, folder: Path, companion: str, clock: Clock, most: int = _OPEN):
        self._folder, self._companion, self._clock, self._most = folder, companion, clock, most
        self._open: OrderedDict[str, Transcript] = OrderedDict()

    def add(self, messages: Sequence[Message], response: str, identity: dict[str, Any], finish: str) -> Path:
        """Keep the answer to a conversation that ends with what the person said; the file it stands in, durably."""
        *before, asked = messages
        known = self._open.pop(_key(before), None) if before else None
        transcript = known or Transcript(self._folder, self._companion, self._clock, "serve", before)
        path = transcript.add(asked["content"], response, identity, finish)
        self._open[_key([*messages, {"role": "assistant", "content": response}])] = transcript
        while len(self._open) > self._most:
            self._open.popitem(last=False)
        return path


def _key(messages: Sequence[Message]) -> str:
    said = [[message["role"], message["content"].strip()] for message in messages]
    return hashlib.sha256(canonical_json(said)).hexdigest()
