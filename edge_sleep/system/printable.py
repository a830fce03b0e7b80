"""Words of others where a person reads them: what would steer a terminal, or turn the order of letters, becomes a mark."""
from __future__ import annotations

import re
from typing import Any

# C0 without tab and line ends, C1 (a lone byte of it begins a command on many terminals), changes of direction, lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(value: Any) -> str:
    return _UNPRINTABLE.sub("\ufffd", str(value))


def on_terminal(value: Any) -> str:
    """`printable`; a lone carriage return, which would write over the line, is a mark as well."""
    return printable(str(value).replace("\r\n", "\n").replace("\r", "\x00"))


def in_json(document: str) -> str:
    """A JSON text that means the same and holds none of it: outside of strings JSON has no such letters."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", document)
