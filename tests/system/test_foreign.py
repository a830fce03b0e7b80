"""JSON of strangers: what the standard library would take, and what it would die of."""
from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.errors import RemoteRefused
from edge_sleep.system import foreign

PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-2**63 + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
                     | st.text(st.characters(exclude_categories=["Cs"])), lambda inner: st.lists(inner, max_size=3)
                     | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3), max_leaves=12)


@settings(max_examples=150)
@given(PLAIN, st.booleans())
def test_what_json_means_is_read(document: object, ascii_only: bool) -> None:
    content = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert foreign.document(content, "it", limit_bytes=1 << 20, deepest=64) == document


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text("[]{}\",:\\0123456789.eE-+ntrufalsNI", max_size=40).map(str.encode))
def test_anything_else_is_refused_or_is_what_the_library_reads(content: bytes) -> None:
    try:
        found = foreign.document(content, "it", limit_bytes=1 << 20)
    except RemoteRefused:
        return
    assert found == json.loads(content)


@pytest.mark.parametrize("content, words", [
    (b"[" * 17 + b"]" * 17, "nested too deeply: 17 levels, at most 16"), (b'{"a":' * 200_000, "nested too deeply"),
    (b"NaN", "not finite"), (b"-1e400", "out of range"), (b"9" * 5000, "out of range"), (b'{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' twice"),
    (b'"\\udfff"', "not readable"), (b'"\xed\xa0\x80"', "not readable"), (b"", "not readable"), (b"x" * 101, "too large: 101 bytes")])
def test_refusals(content: bytes, words: str) -> None:
    with pytest.raises(RemoteRefused, match=words):
        foreign.document(content, "it", limit_bytes=100 if content[:1] == b"x" else 1 << 21)


def test_brackets_in_words_are_no_depth() -> None:
    said = {"a": "[" * 100 + '\\"]{' * 50}
    assert foreign.document(json.dumps(said).encode(), "it", limit_bytes=1 << 20, deepest=1) == said
    assert foreign.document(b'{"a": 1e-300}', "it", limit_bytes=99) == {"a": 1e-300}
