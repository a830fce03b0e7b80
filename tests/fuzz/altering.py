"""Alterations of good inputs, for hypothesis: bytes as a broken or careless writer makes them, values as somebody who knows the format."""
from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

WORDS = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1])
ODD = st.sampled_from([None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 1.5, -0.0, 1e308, "", "x", "../../x", "/x", "\0", "\ud800", "\u2028", "é" * 500,
                       [], {}, [[]], {"a": {}}, [0, 0], [4, 2**40], "0" * 64, "F32"])


@st.composite
def altered_bytes(draw: Any, content: bytes) -> bytes:
    """Flips, cuts, insertions, numbers of all widths written over, pieces moved."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "end", "insert", "number", "move"]))
        if kind == "flip" and found:
            found[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del found[at:at + draw(st.integers(1, 64))]
        elif kind == "end":
            del found[at:]
        elif kind == "insert":
            found[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            found[at:at + width] = (draw(WORDS) & (1 << 8 * width) - 1).to_bytes(width, draw(st.sampled_from(["little", "big"])))
        else:
            piece = found[at:at + draw(st.integers(1, 200))]
            to = draw(st.integers(0, len(found)))
            found[to:to] = piece
    return bytes(found)


def places(document: Any, before: tuple = ()) -> list[tuple]:
    """The path of every value inside."""
    inside = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [path for key, value in inside for path in ((*before, key), *places(value, (*before, key)))]


@st.composite
def altered_values(draw: Any, document: Any) -> Any:
    """One or two values replaced, dropped, doubled or moved under another key."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        if not (known := places(found)):
            return found
        *way, key = draw(st.sampled_from(known))
        at = found
        for step in way:
            at = at[step]
        kind = draw(st.sampled_from(["replace", "replace", "drop", "other key", "double"]))
        if kind == "replace":
            at[key] = copy.deepcopy(draw(ODD))
        elif kind == "drop":
            del at[key]
        elif isinstance(at, dict):
            at[draw(st.sampled_from(["x", "../x", "", "id", "files"]))] = copy.deepcopy(at[key])
        else:
            at.append(copy.deepcopy(at[key]))
    return found
