from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_sleep.remote import content_hash
from edge_sleep.remote.content_hash import BLOCK_BYTES, ContentHash
from tests.fake_dropbox import hash_of


@pytest.mark.parametrize("size, hexdigest", [
    # sha256 of nothing: no block at all.
    (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    # printf '' of zeros: sha256sum | xxd -r -p | sha256sum, a block at a time.
    (1, "1406e05881e299367766d313e26c05564ec91bf721d31726bd6e46e60689539a"),
])
def test_known_hashes(size, hexdigest):
    assert ContentHash(bytes(size)).hexdigest() == hexdigest


@pytest.mark.parametrize("size", [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 5])
def test_whole_blocks_and_what_is_left_over(size):
    content = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)
    assert ContentHash(content[:size]).hexdigest() == hash_of(content[:size]) == content_hash.of_stream(io.BytesIO(content[:size]))


@given(some.lists(some.binary(max_size=40), max_size=20))
def test_pieces_do_not_matter(pieces):
    digest = ContentHash()
    for piece in pieces:
        digest.update(piece)
        assert digest.hexdigest() == digest.hexdigest(), "asking does not end it"
    assert digest.hexdigest() == ContentHash(b"".join(pieces)).hexdigest()


@given(some.binary(max_size=200), some.integers(1, 9))
def test_blocks_of_any_size(monkeypatch_blocks, content, block):
    with monkeypatch_blocks(block) as expected:
        assert ContentHash(content).hexdigest() == expected(content)


@pytest.fixture(scope="module")
def monkeypatch_blocks():
    """The same definition with small blocks, so that their edges are met often."""
    import hashlib
    from contextlib import contextmanager

    @contextmanager
    def blocks(size):
        before = content_hash.BLOCK_BYTES
        content_hash.BLOCK_BYTES = size
        try:
            yield lambda content: hashlib.sha256(b"".join(
                hashlib.sha256(content[at:at + size]).digest() for at in range(0, len(content), size))).hexdigest()
        finally:
            content_hash.BLOCK_BYTES = before

    return blocks


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Dropbox's SDK has a hash of its own from its releases for 3.11 on")
def test_it_is_the_one_of_their_sdk():
    from dropbox.content_hash import content_hash as theirs
    for size in (0, 1, BLOCK_BYTES, BLOCK_BYTES + 1):
        assert ContentHash(b"x" * size).hexdigest() == theirs(b"x" * size)
