"""JSON from another machine: what it may be is decided before it is parsed, and it is only ever refused by name.

The parser of the standard library takes NaN, numbers of any length, keys that are there twice, and nesting until the stack ends.
"""
from __future__ import annotations

import json
import math
import re
from typing import Any

from edge_sleep.errors import RemoteRefused

DEEPEST = 16
_LONGEST_NUMBER = 40
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class _Not(ValueError):
    """What is wrong in a document, in words."""


def document(content: bytes, what: str, *, limit_bytes: int, deepest: int = DEEPEST) -> Any:
    """The JSON in `content`. Raises RemoteRefused naming `what`: too large, too deep, no JSON, a key twice, a huge number."""
    if len(content) > limit_bytes:
        raise RemoteRefused(f"{what} is too large: {len(content)} bytes, at most {limit_bytes} are read")
    if (depth := _depth(content)) > deepest:
        raise RemoteRefused(f"{what} is nested too deeply: {depth} levels, at most {deepest} are read")
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_no_constant, parse_int=_integer, parse_float=_float,
                           object_pairs_hook=_unique)
        if _SURROGATE.search(content):
            json.dumps(found, ensure_ascii=False).encode()         # half a surrogate pair is no text
    except _Not as error:
        raise RemoteRefused(f"{what} holds {error}") from None
    except (ValueError, RecursionError) as error:
        raise RemoteRefused(f"{what} is not readable JSON: {str(error)[:120]}") from None
    return found


def _depth(content: bytes) -> int:
    """How deep brackets are nested outside of strings; a document that is no JSON has some depth, too."""
    depth = deepest = 0
    for mark in re.findall(rb"[\[\]{}]", _STRINGS.sub(b"", content)):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> Any:
    raise _Not(f"a number that is not finite ({name})")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER or abs(value := int(digits)) > 2**63 - 1:
        raise _Not(f"a number out of range ({digits[:24]}, {len(digits)} digits)")
    return value


def _float(digits: str) -> float:
    if len(digits) > 2 * _LONGEST_NUMBER or not math.isfinite(value := float(digits)):
        raise _Not(f"a number out of range ({digits[:24]})")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))       # type: ignore[func-returns-value]
        raise _Not(f"the key {twice[:40]!r} twice")
    return found
