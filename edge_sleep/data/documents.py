"""The JSON documents of a file: whole, or line by line; what cannot be read is refused by name."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_DOCUMENT_BYTES = 64 << 20         # one JSON document is parsed whole: about ten times this in memory
LARGEST_LINES_BYTES = 1 << 30             # JSONL is read line by line
NAMED = 5                                 # lines or speakers named in a refusal


class Refused(Exception):
    """A file that is not taken: a stable code, and what was found."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read_documents(path: Path) -> tuple[list[Any], str]:
    """The JSON documents of a file, and a note on lines that could not be read. Raises Refused."""
    size = path.stat().st_size
    lines = path.suffix.lower() == ".jsonl"
    if size == 0:
        raise Refused("empty_file", "0 bytes")
    limit = LARGEST_LINES_BYTES if lines else LARGEST_DOCUMENT_BYTES
    if size > limit:
        raise Refused("too_large", f"{size / 2**20:.0f} MiB; at most {limit >> 20} MiB "
                                    + ("of JSONL are read" if lines else "of JSON are read; JSONL may be larger"))
    if lines:
        return _lines(path)
    text = _decoded(path.read_bytes())
    if not text.strip():
        raise Refused("empty_file", "only white space")
    try:
        return [json.loads(text)], ""
    except ValueError as error:
        if "Extra data" in str(error):
            return _lines(path)
        raise Refused("invalid_json", str(error)) from error


@dataclass
class Lines:
    """What became of the lines of a file."""

    read: int = 0
    numbers: list[int] = field(default_factory=list)   # of those that could not be read
    first: str = ""

    def note(self) -> str:
        named = ", ".join(map(str, self.numbers[:NAMED])) + (", ..." if len(self.numbers) > NAMED else "")
        return f"{len(self.numbers)} of {len(self.numbers) + self.read} lines ({named}): {self.first}" if self.numbers else ""


def read_lines(path: Path, lines: Lines) -> Iterator[Any]:
    """The documents of a JSONL file as they are asked for; `lines` counts what became of each line."""
    with open(path, "rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                if text := _decoded(raw).strip():
                    document = json.loads(text)
                    lines.read += 1
                    yield document
            except (Refused, ValueError, RecursionError) as error:
                lines.numbers.append(number)
                lines.first = lines.first or str(error)


def _lines(path: Path) -> tuple[list[Any], str]:
    lines = Lines()
    documents = list(read_lines(path, lines))
    if not documents and lines.numbers:
        raise Refused("invalid_json", f"none of {len(lines.numbers)} lines is JSON; the first says: {lines.first}")
    if not documents:
        raise Refused("empty_file", "only blank lines")
    return documents, lines.note()


def _decoded(raw: bytes) -> str:
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Refused("not_text", f"not {encoding} at byte {error.start}; save it as UTF-8") from error
    return text
