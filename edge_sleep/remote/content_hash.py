"""Dropbox's hash of a file: sha256 over the sha256 of each block of 4 MiB.

Their SDK has one only from Python 3.11 on, and none that can be copied from a file that is there.
"""
from __future__ import annotations

import hashlib
from typing import BinaryIO

BLOCK_BYTES = 4 << 20


class ContentHash:
    """As hashlib's, for bytes that come in pieces of any size."""

    def __init__(self, content: bytes = b""):
        self._whole, self._block, self._filled = hashlib.sha256(), hashlib.sha256(), 0
        self.update(content)

    def update(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            piece = view[:BLOCK_BYTES - self._filled]
            self._block.update(piece)
            self._filled += len(piece)
            view = view[len(piece):]
            if self._filled == BLOCK_BYTES:
                self._whole.update(self._block.digest())
                self._block, self._filled = hashlib.sha256(), 0

    def hexdigest(self) -> str:
        whole = self._whole.copy()
        if self._filled:
            whole.update(self._block.digest())
        return whole.hexdigest()


def of_stream(stream: BinaryIO) -> str:
    """The hash of what is left in an open file."""
    digest = ContentHash()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
