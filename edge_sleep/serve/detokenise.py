"""Tokens to text as they come: whole characters only, stop strings never shown, no white space at either end.

What is streamed, put together, is the answer: the judge strips answers too, so white space is held until something follows it.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

_UNFINISHED = "\ufffd"                    # how a decoder writes the first bytes of a character


class TextStream:
    """`feed` each token, then `finish`; both return the text that may be shown now."""

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()):
        self._decode = decode
        self._stops = tuple(stop for stop in stops if stop)
        self._ids: list[int] = []
        self._shown_from = self._read_to = 0
        self._held = ""
        self.text = ""
        self.stopped = False               # a stop string came; what follows is not wanted

    def feed(self, token: int) -> str:
        self._ids.append(token)
        # Decoded with the tokens just before: some decoders strip a blank at the beginning.
        before = self._decode(self._ids[self._shown_from:self._read_to])
        now = self._decode(self._ids[self._shown_from:])
        if now.endswith(_UNFINISHED) or len(now) <= len(before):
            return ""
        self._shown_from, self._read_to = self._read_to, len(self._ids)
        return self._take(now[len(before):])

    def finish(self) -> str:
        """The rest, where no stop string came."""
        if self.stopped:
            return ""
        rest = self._decode(self._ids[self._shown_from:])[len(self._decode(self._ids[self._shown_from:self._read_to])):]
        shown = self._take(rest)
        if self.stopped:
            return shown
        last, self._held = self._held.rstrip(), ""
        self.text += last
        return shown + last

    def _take(self, piece: str) -> str:
        held = self._held + piece
        if not self.text:
            held = held.lstrip()
        if ends := [(found + len(stop), found) for stop in self._stops if (found := held.find(stop)) >= 0]:
            shown, self._held, self.stopped = held[:min(ends)[1]].rstrip(), "", True
        else:
            shown = held[:len(held) - self._could_begin_a_stop(held)].rstrip()
            self._held = held[len(shown):]
        self.text += shown
        return shown

    def _could_begin_a_stop(self, text: str) -> int:
        """Length of the longest end of the text that is the beginning of a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        return next((size for size in range(min(longest, len(text)), 0, -1)
                     if any(stop.startswith(text[-size:]) for stop in self._stops)), 0)
