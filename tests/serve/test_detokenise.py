"""What is streamed, put together, is the answer: whole characters, no stop string, no white space at the ends."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.serve.detokenise import TextStream


def of_bytes(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


def streamed(ids, stops=(), decode=of_bytes) -> tuple[list[str], TextStream]:
    stream, pieces = TextStream(decode, stops), []
    for token in ids:
        pieces.append(stream.feed(token))
        if stream.stopped:
            return pieces, stream
    return [*pieces, stream.finish()], stream


def wanted(text: str, stops: list[str]) -> str:
    """Cut before the stop string that is complete first, the longer of two that end together."""
    text = text.lstrip()
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return (text[:min(ends)[1]] if ends else text).rstrip()


@given(st.text(alphabet="ab é\n€😀", max_size=30), st.lists(st.text(alphabet="ab é\n", min_size=1, max_size=3), max_size=3))
def test_pieces_are_the_answer(text: str, stops: list[str]) -> None:
    stops = [stop for stop in stops if stop.strip()]
    pieces, stream = streamed(text.encode(), stops)
    assert "".join(pieces) == stream.text == wanted(text, stops)
    assert stream.stopped == any(stop in text.lstrip() for stop in stops)


@pytest.mark.parametrize("ids, want", [(b"\xe2\x82\xac", ["", "", "€", ""]), (b"a\xe2\x82", ["a", "", "", "\ufffd"]),
                                       (b"a b", ["a", "", " b", ""]), (b" a \n", ["", "a", "", "", ""])])
def test_only_whole_characters_are_shown(ids: bytes, want: list[str]) -> None:
    assert streamed(ids)[0] == want


def test_what_could_begin_a_stop_string_waits_for_what_follows() -> None:
    assert streamed(b"x###y", ["####"])[0] == ["x", "", "", "", "###y", ""]
    assert streamed(b"x####y", ["####"])[0] == ["x", "", "", "", ""]


def test_a_decoder_that_strips_the_blank_at_the_beginning() -> None:
    pieces = {1: "\u2581The", 2: "\u2581boat", 3: "s"}
    decoded, _ = streamed([1, 2, 3], decode=lambda ids: "".join(pieces[one] for one in ids).replace("\u2581", " ").lstrip(" "))
    assert decoded == ["The", " boat", "s", ""]
