"""The archive a job or a result travels in: the least a zip can be, read by a reader that knows nothing more.

A zip says most things twice, and readers that believe either half have been led into writing anywhere, or into inflating
petabytes from kilobytes. So this one takes only what `write` makes, which any unzip opens: entries one behind the other from
the first byte on, no gaps, no overlap, no comments, no extra fields, no zip64, no encryption, no link, plain names of a list;
both halves must say the same. All of that is held against the limits before a byte is inflated or written.
"""
from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.system.files import storage_errors

RATIO = 100                      # most bytes from one: text with many repetitions gives 50, a bomb a thousand
TOTAL_BYTES = (4 << 30) - (1 << 20)
MOST_ENTRIES = 16
_BLOCK = 1 << 18
_DIRECTORY_LIMIT = 16 * 1024
_END, _CENTRAL, _LOCAL = struct.Struct("<4s4H2LH"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz")


@dataclass(frozen=True)
class Entry:
    """One file of an archive: its content begins at `at`."""

    name: str
    method: int
    bytes: int
    packed: int
    crc: int
    at: int


def write(target: Path, files: Mapping[str, Path]) -> None:
    """An archive of `files` by their names in it; the same files make the same bytes. Raises UsageError beyond what is read."""
    if len(files) > MOST_ENTRIES or sum(file.stat().st_size for file in files.values()) > TOTAL_BYTES:
        raise UsageError(f"{target.name}: more than {MOST_ENTRIES} files or {TOTAL_BYTES} bytes do not travel",
                         "train it on this machine")
    with storage_errors(target), zipfile.ZipFile(target, "w", allowZip64=False) as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if _worth_deflating(file) else zipfile.ZIP_STORED
            entry.file_size = file.stat().st_size
            with open(file, "rb") as stream, archive.open(entry, "w") as out:
                while block := stream.read(_BLOCK):
                    out.write(block)


def _worth_deflating(file: Path) -> bool:
    """Text is, unless it repeats itself so much that it would look like a bomb."""
    if file.suffix == ".safetensors":
        return False
    packer, packed = zlib.compressobj(), 0
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            packed += len(packer.compress(block))
    return file.stat().st_size < RATIO // 2 * (packed + len(packer.flush()))


def entries(stream: BinaryIO, what: str, limits: Mapping[str, int], total_bytes: int = TOTAL_BYTES) -> dict[str, Entry]:
    """What an archive holds, by name. limits: the names there may be, each with its largest size in bytes.

    Raises RemoteRefused naming what is wrong; nothing was inflated, and nothing is written anywhere.
    """
    def refuse(why: str) -> RemoteRefused:
        return RemoteRefused(f"{what}: {why}", "do not open it; ask the machine it came from for a new one")

    stream.seek(0, 2)
    size = stream.tell()
    if size < _END.size:
        raise refuse("no archive, or cut short")
    stream.seek(size - _END.size)
    signature, disk, begins, here, count, length, start, comment = _END.unpack(stream.read(_END.size))
    if signature != b"PK\5\6" or comment or disk or begins or here != count:
        raise refuse("no archive, or cut short: it does not end as one")
    if 0xFFFF in (count, here) or 0xFFFFFFFF in (length, start):
        raise refuse("zip64 is not read")
    if count > MOST_ENTRIES or length > _DIRECTORY_LIMIT:
        raise refuse(f"too many entries: {count} in a directory of {length} bytes, at most {MOST_ENTRIES} are read")
    if start + length != size - _END.size:
        raise refuse("its directory is not where it says: overlapping or hidden parts")
    stream.seek(start)
    directory = stream.read(length)
    found: dict[str, Entry] = {}
    place, expected = 0, 0
    for _ in range(count):
        if place + _CENTRAL.size > len(directory):
            raise refuse("its directory is cut short")
        (signature, _made, needed, flags, method, time, date, crc, packed, unpacked, name_length, extra, comment, disk, _inner,
         outer, at) = _CENTRAL.unpack_from(directory, place)
        raw = directory[place + _CENTRAL.size:place + _CENTRAL.size + name_length]
        place += _CENTRAL.size + name_length + extra + comment
        if signature != b"PK\1\2" or len(raw) != name_length:
            raise refuse("its directory is damaged")
        name = _checked(raw, limits, refuse)
        if name in found:
            raise refuse(f"{name} is there twice")
        if stat.S_ISLNK(kind := outer >> 16) or (stat.S_IFMT(kind) and not stat.S_ISREG(kind)) or outer & 0x10:
            raise refuse(f"{name} is {'a symbolic link' if stat.S_ISLNK(kind) else 'no plain file'}")
        if flags & 1:
            raise refuse(f"{name} is encrypted")
        if flags or extra or comment or disk or method not in (_STORED, _DEFLATED):
            raise refuse(f"{name} is stored in a way that is not read (method {method}, flags {flags:#x}, {extra} extra bytes)")
        if unpacked > limits[name]:
            raise refuse(f"{name} is too large: {unpacked} bytes, at most {limits[name]} are read")
        if unpacked > RATIO * packed or (method == _STORED and unpacked != packed):
            raise refuse(f"{name} would grow from {packed} to {unpacked} bytes: a zip bomb (at most {RATIO} times)")
        if at != expected:
            raise refuse(f"{name} overlaps another entry, or hides something before it")
        stream.seek(at)
        local = stream.read(_LOCAL.size + name_length)
        begin = at + _LOCAL.size + name_length
        if local != _LOCAL.pack(b"PK\3\4", needed, flags, method, time, date, crc, packed, unpacked, name_length, 0) + raw:
            raise refuse(f"{name}: directory and entry say different things")
        expected = begin + packed
        found[name] = Entry(name, method, unpacked, packed, crc, begin)
    if place != len(directory) or expected != start:
        raise refuse("it holds more than it lists")
    if (total := sum(entry.bytes for entry in found.values())) > total_bytes:
        raise refuse(f"too large: {total} bytes in all, at most {total_bytes} are read")
    return found


def _checked(raw: bytes, limits: Mapping[str, int], refuse) -> str:
    """The name, if it is one of the list; otherwise why not, as exactly as can be said."""
    name = raw.decode("latin-1")
    if name in limits:
        return name
    shown = ascii(name[:80])
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        raise refuse(f"{shown} is an absolute path")
    if ".." in parts:
        raise refuse(f"{shown} climbs out of the folder")
    if name.lower().endswith(_PICKLES):
        raise refuse(f"{shown} may hold a pickle: only JSON and safetensors travel")
    raise refuse(f"{shown} is no name of a file that travels here")


def copy(stream: BinaryIO, entry: Entry, what: str, out: BinaryIO) -> str:
    """Write an entry's content to `out`; returns its sha256. Raises RemoteRefused where it is damaged or longer than said."""
    def refuse(why: str) -> RemoteRefused:
        return RemoteRefused(f"{what}: {entry.name} {why}", "do not open it; ask the machine it came from for a new one")

    stream.seek(entry.at)
    digest, crc, left, packed = hashlib.sha256(), 0, entry.bytes, entry.packed
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None

    def put(content: bytes) -> None:
        nonlocal crc, left
        if len(content) > left:
            raise refuse(f"holds more than the {entry.bytes} bytes it says")
        left -= len(content)
        crc = zlib.crc32(content, crc)
        digest.update(content)
        out.write(content)

    try:
        while packed and (block := stream.read(min(_BLOCK, packed))):
            packed -= len(block)
            if inflate is None:
                put(block)
                continue
            while block:
                put(inflate.decompress(block, min(_BLOCK, left + 1)))
                if inflate.unused_data:
                    raise refuse("holds more than one stream")
                block = inflate.unconsumed_tail
        if inflate is not None:
            put(inflate.flush(left + 1))
    except zlib.error as error:
        raise refuse(f"is damaged: {error}") from None
    if packed or left or crc != entry.crc or (inflate is not None and not inflate.eof):
        raise refuse("is damaged, or cut short")
    return digest.hexdigest()
