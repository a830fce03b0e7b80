"""Sending a file to Dropbox in chunks, and going on where an earlier process was cut.

The note remembers the upload session and how far it is, and is on disk before the first byte goes. What Dropbox says about
offsets counts more than the note: a chunk whose answer was lost is there. What arrives is held against the hash of the source,
and written anew over exactly that revision where it differs.
"""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edge_sleep.remote import content_hash
from edge_sleep.remote.bandwidth import Bandwidth
from edge_sleep.remote.calls import Calls, Refusal
from edge_sleep.remote.content_hash import ContentHash
from edge_sleep.remote.protocol import Unreachable
from edge_sleep.remote.token import sdk
from edge_sleep.system.files import write_json

CHUNK_BYTES = content_hash.BLOCK_BYTES
_TRIES = 5                     # sessions begun, offsets corrected and files mended before it is left for later
_CHUNK_SECONDS = 15.0          # of the cap on bandwidth, where there is one: a chunk goes at once
_NOTHING = ContentHash().hexdigest()
_FORMAT = 1


@dataclass
class Note:
    """A transfer under way. session: empty before there is one. offset: bytes of it that Dropbox has said it holds."""

    name: str
    size: int
    hash: str
    session: str = ""
    offset: int = 0

    def save(self, file: Path) -> None:
        write_json(file, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def load(cls, file: Path) -> Note | None:
        """What the file says; None where there is none, or where it says nothing that can be gone on with."""
        try:
            found = json.loads(file.read_bytes())
            if found.pop("format") != _FORMAT:
                return None
            note = cls(**found)
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return None
        good = isinstance(note.session, str) and type(note.offset) is type(note.size) is int and 0 <= note.offset <= note.size
        return note if good else None


class Upload:
    """One file on its way to `path` (as Dropbox writes it)."""

    def __init__(self, calls: Calls, path: str, bandwidth: Bandwidth, chunk_bytes: int = CHUNK_BYTES):
        self._calls, self._path, self._bandwidth = calls, path, bandwidth
        self._chunk_bytes = bandwidth.block_bytes(chunk_bytes, _CHUNK_SECONDS)
        self._files = sdk().files

    def send(self, source: Path, note_file: Path, there: Any) -> Any:
        """The metadata of what is there afterwards. Raises Refusal with the tag `conflict` where somebody else wrote meanwhile.

        there: metadata of the file that is to be written over; None is none.
        """
        with open(source, "rb") as stream:
            note = self._begun(stream, note_file)
            for _ in range(_TRIES):
                found = self._whole(stream, note, note_file, there)
                if found.content_hash == note.hash:
                    note_file.unlink(missing_ok=True)
                    return found
                there, note.session, note.offset = found, "", 0
                note.save(note_file)
        raise Unreachable(f"{note.name} arrives at Dropbox otherwise than it was sent", "it is sent again later")

    def _begun(self, stream: BinaryIO, note_file: Path) -> Note:
        """The note of this very content, from before or new."""
        stream.seek(0)
        digest = content_hash.of_stream(stream)
        note, size = Note.load(note_file), stream.tell()
        if note is None or (note.name, note.size, note.hash) != (self._path, size, digest):
            note = Note(self._path, size, digest)
            note.save(note_file)
        return note

    def _whole(self, stream: BinaryIO, note: Note, note_file: Path, there: Any) -> Any:
        """Send what is missing and give it its name."""
        mode = self._files.WriteMode.update(there.rev) if there else self._files.WriteMode.add
        if note.size <= self._chunk_bytes:
            return self._small(stream, note, mode)
        for _ in range(_TRIES):
            if not note.session:
                note.session, note.offset = self._start(), 0
                note.save(note_file)
            try:
                self._fill(stream, note, note_file)
                return self._finish(note, mode)
            except Refusal as refusal:
                kinds = set(refusal.tags)
                if "conflict" in kinds or (kinds & {"not_found", "closed"} and refusal.uncertain):
                    # An attempt whose answer was lost may have given it its name.
                    found = self._found()
                    if found is not None and found.content_hash == note.hash:
                        return found
                if "conflict" in kinds or not kinds & {"not_found", "closed", "incorrect_offset", "other"}:
                    raise
                note.session, note.offset = "", 0
        raise Unreachable(f"Dropbox loses what is sent of {note.name}", "it is sent again later")

    def _small(self, stream: BinaryIO, note: Note, mode: Any) -> Any:
        stream.seek(0)
        content = stream.read()
        found = self._calls.ask(lambda client: client.files_upload(content, self._path, mode=mode, mute=True,
                                                                   content_hash=note.hash))
        self._bandwidth.spent(len(content))
        return found

    def _start(self) -> str:
        return self._calls.ask(lambda client: client.files_upload_session_start(b"", content_hash=_NOTHING)).session_id

    def _fill(self, stream: BinaryIO, note: Note, note_file: Path) -> None:
        """Append until Dropbox holds everything; where it says another offset than ours, from there."""
        corrected, furthest = 0, note.offset
        while note.offset < note.size:
            stream.seek(note.offset)
            block = stream.read(self._chunk_bytes)
            cursor = self._files.UploadSessionCursor(note.session, note.offset)
            digest = ContentHash(block).hexdigest()
            try:
                self._calls.ask(lambda client, block=block, cursor=cursor, digest=digest:  # type: ignore[misc]
                                client.files_upload_session_append_v2(block, cursor, content_hash=digest))
                note.offset += len(block)
                self._bandwidth.spent(len(block))
            except Refusal as refusal:
                offset = getattr(refusal.value, "correct_offset", None)
                corrected = 1 if note.offset > furthest else corrected + 1
                if offset is None or not 0 <= offset <= note.size or corrected > _TRIES:
                    raise
                furthest, note.offset = max(furthest, note.offset), offset
            note.save(note_file)

    def _finish(self, note: Note, mode: Any) -> Any:
        cursor = self._files.UploadSessionCursor(note.session, note.size)
        commit = self._files.CommitInfo(self._path, mode=mode, mute=True)
        return self._calls.ask(lambda client: client.files_upload_session_finish(b"", cursor, commit, content_hash=_NOTHING))

    def _found(self) -> Any:
        return metadata(self._calls, self._path)


def metadata(calls: Calls, path: str) -> Any:
    """What Dropbox knows about the file at `path`; None where there is no file."""
    try:
        found = calls.ask(lambda client: client.files_get_metadata(path))
    except Refusal as refusal:
        if "not_found" in refusal.tags:
            return None
        raise
    return found if isinstance(found, sdk().files.FileMetadata) else None
