"""What a killed process could not say: a note of what was tried, and how much at once, that the next start reads.

A limit is felt as a failed allocation where it can be (device/limit.py). Where the kernel kills all the same, nothing in the
process learns of it; the note that no clean end has removed is the only witness.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

from edge_sleep.device import memory
from edge_sleep.errors import DoesNotFit


class Attempt:
    """Context manager over work that takes `size` things at once; `size` is less than asked where a former try was killed.

    It is halved where the kernel counts a kill at this process's memory limit since, and where two tries in a row ended
    unclean at the same step. One unclean end may be a power cut, and changes nothing.
    Raises DoesNotFit where one thing at a time was killed at the limit.
    """

    def __init__(self, file: Path, size: int, step: int = 0, kills: int | None = None):
        """file: the note. step: where the work goes on. kills: the kernel's count, found out where it is left out."""
        self.file, self.size, self.reason = file, size, ""
        self.kills = memory.kills_by_limit() if kills is None else kills
        self._died_at: int | None = None
        note = self._left_behind()
        if note is not None:
            self.size = min(size, note["size"])
            self._died_at = note["step"]
            by_limit = None not in (self.kills, note["kills"]) and self.kills > note["kills"]
            if by_limit and self.size == 1:
                file.unlink()
                raise DoesNotFit("the kernel killed the last try at the memory limit, with one example at a time",
                                 "raise the limit, lower data.max_tokens, or choose a smaller base")
            if by_limit or note["died_at"] == note["step"]:
                self.reason = ("the last try was killed at the memory limit" if by_limit else
                               f"two tries in a row were killed at step {note['step'] + 1}")
                self.size = -(-self.size // 2)
                self._died_at = None
        self.at(step, self.size)

    def at(self, step: int, size: int) -> None:
        """Note what is tried next. Not synced: it has to outlive the process, not the power."""
        staged = self.file.with_suffix(".part")
        staged.write_text(json.dumps({"step": step, "size": size, "kills": self.kills, "died_at": self._died_at}))
        os.replace(staged, self.file)

    def _left_behind(self) -> dict | None:
        try:
            note = json.loads(self.file.read_text())
            return note if note.keys() >= {"step", "size", "kills", "died_at"} else None
        except (OSError, ValueError, AttributeError):      # none, or one that a power cut left torn
            return None

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.unlink(missing_ok=True)
