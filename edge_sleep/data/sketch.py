"""How many answers held each pair of words: counters in a table of fixed size, kept in the home's database.

A count-min sketch of one row (Cormode and Muthukrishnan, 2005). Pairs that meet in a counter share it, so a
count is never too low, and too high by what the others in its counter add: on average .44 after 16,000
answers of 60 words, with 1 to be expected from about 36,000 on (`edge-sleep bench --growth`). Sums do not
depend on the order of adding. A home's memory of word pairs can thus never outgrow 8 MiB, and reading it
needs no query.
"""
from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

_BITS = 21                                # 2 M counters
_PAGE_BITS = 8                            # 256 counters, 1 KiB, are read and written together
_PAGE = 4 << _PAGE_BITS                   # bytes
_VALUES = 500                             # in one statement


class Sketch:
    """Counters by 32-bit mark; pages are read when first needed, and written by `flush`."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self.reset()

    def reset(self) -> None:
        self._bytes = bytearray(4 << _BITS)
        self._counters = memoryview(self._bytes).cast("I")
        self._loaded: set[int] = set()
        self._changed: set[int] = set()
        self._last: tuple[Sequence[int], list[int]] = ((), [])

    def counts(self, marks: Sequence[int]) -> list[int]:
        places = self._places(marks)
        counters = self._counters
        return [counters[place] for place in places]

    def add(self, marks: Sequence[int]) -> None:
        """Count each mark once more."""
        places = self._places(marks)
        counters = self._counters
        for place in places:
            counters[place] += 1
        self._changed.update([place >> _PAGE_BITS for place in places])

    def flush(self) -> None:
        """Write what changed; inside the caller's transaction."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO pair_counts VALUES (?, ?)",
            ((page, zlib.compress(self._bytes[page * _PAGE:(page + 1) * _PAGE], 1)) for page in sorted(self._changed)))
        self._changed.clear()

    def _places(self, marks: Sequence[int]) -> list[int]:
        """Where the marks are counted, with their pages read; scoring and learning ask for the same ones."""
        if self._last[0] is marks:
            return self._last[1]
        places = [value >> (32 - _BITS) for value in marks]
        missing = list({place >> _PAGE_BITS for place in places} - self._loaded)
        for start in range(0, len(missing), _VALUES):
            part = missing[start:start + _VALUES]
            for page, counts in self._connection.execute(
                    f"SELECT page, counts FROM pair_counts WHERE page IN ({','.join('?' * len(part))})", part):
                self._bytes[page * _PAGE:(page + 1) * _PAGE] = zlib.decompress(counts)
            self._loaded.update(part)
        self._last = (marks, places)
        return places
