from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_sleep.errors import SyncError
from edge_sleep.remote.protocol import checked, checked_prefix, is_name

_PART = some.text("ab09._-", min_size=1, max_size=8).filter(lambda part: part[0] != "." != part[-1])
_NAME = some.lists(_PART, min_size=1, max_size=6).map("/".join).filter(lambda name: not name.endswith(".partial"))


@given(_NAME)
def test_a_name_is_taken_as_it_is(name):
    assert checked(name) == name and checked_prefix(f"{name}/") == f"{name}/"
    with pytest.raises(SyncError):
        checked_prefix(name)


@given(some.text(max_size=30) | some.text("ab./~\\ A\x00\n-", max_size=12))
def test_whatever_is_taken_stays_inside(text):
    """A name has only plain parts: nothing absolute, nothing that climbs or hides, one spelling."""
    if not is_name(text):
        with pytest.raises(SyncError) as caught:
            checked(text)
        assert len(str(caught.value)) < 700
        return
    assert not PurePosixPath(text).is_absolute() and str(PurePosixPath(text)) == text
    assert all(part and part[0] != "." and part[-1] != "." for part in text.split("/"))
    assert text == text.lower() and text.isascii() and text.isprintable() and " " not in text and "\\" not in text


@pytest.mark.parametrize("name", ["x" * 240, "a/b-c_d.e", "0", "-", "_", "a..b"])
def test_names(name):
    assert checked(name) == name


@pytest.mark.parametrize("name", ["x" * 241, "..", ".", "a/..", "~", "C:", "con\\x", "a\x00", "é", "a/.partial/b", "x.partial"])
def test_no_names(name):
    assert not is_name(name)
