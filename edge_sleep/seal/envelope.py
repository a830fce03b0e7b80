"""Sealed files and signed documents: who may read, who wrote, and for what, before anything is believed.

A sealed file is, in this order:

    b"edge_sleep sealed file 1\\n"
    length of the header, 4 bytes, big-endian
    header, JSON: purpose, made, bytes, signer, stream, to: [{box_key, key}]
    chunks of 64 KiB, each 17 bytes longer than what it holds (XChaCha20-Poly1305 secretstream; the last has the tag FINAL)
    signature, 64 bytes (Ed25519), over kind, purpose and the sha256 of all before it

A random key encrypts the chunks; it is in the header once per reader, in an anonymous box (X25519, XSalsa20-Poly1305). The
header is the additional data of the first chunk, so who takes the signature away and puts another in its place has no file
that opens. The secretstream tells order, repetition and end of the chunks; the header tells the exact size, so what was cut is
called so. Reading, the signature is verified over the whole file before one byte is decrypted or written. What anybody who
sees the file learns: purpose, sizes, the public keys of signer and readers, and the time; never a name, nor a word of what is
inside.

A signed document is two lines: JSON with the document in it, and the signature over kind, purpose and exactly those bytes.
A purpose (`job:<id>`, `result:<id>`, ...) is inside of what is signed: what was made for one place is refused in every other.
"""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.seal.keys import Keys, presented
from edge_sleep.seal.machine import Machine, sodium, verified, when
from edge_sleep.system import foreign, private
from edge_sleep.system.files import canonical_json

FORMAT = 1
CHUNK = 64 * 1024
DOCUMENT_LIMIT = 1 << 20
_OVERHEAD = 17
_SIGNATURE = 64
_HEADER_LIMIT = 256 * 1024
_MOST_READERS = 64
_FILE, _DOCUMENT = b"edge_sleep sealed file ", b"edge_sleep document "
_PURPOSE = re.compile(r"[a-z0-9._:-]{1,120}")
_HEX = re.compile(r"([0-9a-f]{2})+")
_REFUSED = "do not use it; ask the machine it came from for a new one"


def seal(source: Path, target: Path, keys: Keys, to: Sequence[Machine], purpose: str) -> str:
    """Write `source` sealed for the machines `to` (this one only where it is among them); returns the sha256 of `target`.

    Needs memory for a chunk, whatever the size. Raises UsageError where nobody could read it, or the source changes meanwhile.
    """
    nacl = sodium()
    if not to or len(to) > _MOST_READERS:
        raise UsageError(f"nothing is sealed for {len(to)} machines", f"name 1 to {_MOST_READERS}; `edge-sleep thor pair` adds")
    key = nacl.crypto_secretstream_xchacha20poly1305_keygen()
    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    stream = nacl.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    size = source.stat().st_size
    header = canonical_json({
        "purpose": _checked(purpose), "made": keys.clock.stamp(), "bytes": size, "signer": presented(keys.own),
        "stream": stream.hex(), "to": [{"box_key": reader.box_key,
                                        "key": nacl.crypto_box_seal(key, bytes.fromhex(reader.box_key)).hex()} for reader in to]})
    with open(source, "rb") as plain, private.appearing(target) as out:
        digest = hashlib.sha256()

        def put(content: bytes) -> None:
            digest.update(content)
            out.write(content)

        put(_FILE + b"%d\n" % FORMAT + len(header).to_bytes(4, "big") + header)
        left, bound = size, header      # the header is bound to the first chunk
        while True:
            block = plain.read(min(CHUNK, left))
            left -= len(block)
            if (left and not block) or (not left and plain.read(1)):
                raise UsageError(f"{source} changed while it was sealed", "seal it again")
            tag = nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL if not left else 0
            put(nacl.crypto_secretstream_xchacha20poly1305_push(state, block, bound, tag))
            bound = b""
            if not left:
                break
        put(keys.sign(_signed(_FILE, purpose, digest.digest())))
        return digest.hexdigest()


def unseal(source: Path, target: Path, keys: Keys, purpose: str, limit_bytes: int, archived: bool = False) -> Machine:
    """Write what `source` holds to `target`, whole or not at all; returns who signed it.

    limit_bytes: the largest content that is taken. archived: as `Keys.signer`. Raises RemoteRefused: no sealed file, newer
    format, made for another purpose, too large, cut short, unknown signer, retired key, not sealed for this machine, signature or
    content does not hold.
    """
    what = source.name
    with open(source, "rb") as stream:
        header, raw, begin = _header(stream, what)
        _right_purpose(header["purpose"], purpose, what)
        if header["bytes"] > limit_bytes:
            raise RemoteRefused(f"{what} is too large: {header['bytes']} bytes inside, at most {limit_bytes} are taken")
        chunks = max(1, -(-header["bytes"] // CHUNK))
        end = begin + header["bytes"] + chunks * _OVERHEAD
        found = os.fstat(stream.fileno()).st_size
        if found != end + _SIGNATURE:
            how = "cut short" if found < end + _SIGNATURE else "longer than it says"
            raise RemoteRefused(f"{what} is {how}: {found} bytes, not {end + _SIGNATURE}", "fetch it again")
        signer = keys.signer(header["signer"], header["made"], archived)
        stream.seek(0)
        digest = hashlib.sha256()
        for block in _blocks(stream, end):
            digest.update(block)
        if not verified(signer.sign_key, _signed(_FILE, purpose, digest.digest()), stream.read(_SIGNATURE)):
            raise RemoteRefused(f"{what}: the signature of machine {signer.id} ({signer.name}) does not hold", _REFUSED)
        key = _file_key(keys, header["to"], what)
        with private.appearing(target) as out:
            _decrypt(stream, out, raw, header, key, begin, digest.digest(), what)
    keys.follow(signer)
    return signer


def sign(document: dict, keys: Keys, purpose: str) -> bytes:
    """A small document, readable for all, that nobody can alter or use elsewhere."""
    body = canonical_json({"purpose": _checked(purpose), "made": keys.clock.stamp(), "signer": presented(keys.own),
                           "document": document})
    content = _DOCUMENT + b"%d\n" % FORMAT + body + b"\n" + keys.sign(_signed(_DOCUMENT, purpose, body)).hex().encode() + b"\n"
    if len(content) > DOCUMENT_LIMIT:
        raise UsageError(f"a document for {purpose} has {len(content)} bytes, at most {DOCUMENT_LIMIT} are signed",
                         "seal it as a file")
    return content


def opened(content: bytes, keys: Keys, purpose: str, archived: bool = False) -> tuple[dict, Machine]:
    """What `sign` was given, and who signed it. Raises RemoteRefused as `unseal`."""
    what = f"the document for {purpose}"
    if len(content) > DOCUMENT_LIMIT:
        raise RemoteRefused(f"{what} is too large: {len(content)} bytes, at most {DOCUMENT_LIMIT} are read")
    lines = content.split(b"\n")
    _known_format(lines[0] + b"\n", _DOCUMENT, what)
    if len(lines) != 4 or lines[3] or len(lines[2]) != 2 * _SIGNATURE or not _HEX.fullmatch(lines[2].decode("latin-1")):
        raise RemoteRefused(f"{what} is cut short, or no signed document", "fetch it again")
    entry = foreign.document(lines[1], what, limit_bytes=DOCUMENT_LIMIT)
    if not isinstance(entry, dict) or set(entry) != {"purpose", "made", "signer", "document"} \
            or not isinstance(entry["purpose"], str) or not isinstance(entry["document"], dict) or not _presented(entry):
        raise RemoteRefused(f"{what} does not say who signed it, and for what", _REFUSED)
    _right_purpose(entry["purpose"], purpose, what)
    signer = keys.signer(entry["signer"], entry["made"], archived)
    if not verified(signer.sign_key, _signed(_DOCUMENT, purpose, lines[1]), bytes.fromhex(lines[2].decode())):
        raise RemoteRefused(f"{what}: the signature of machine {signer.id} ({signer.name}) does not hold", _REFUSED)
    keys.follow(signer)
    return entry["document"], signer


def _signed(kind: bytes, purpose: str, content: bytes) -> bytes:
    """What a signature is over. Neither kind nor purpose can hold a zero byte, so no two triples give one message."""
    return kind + b"%d\0" % FORMAT + purpose.encode() + b"\0" + content


def _checked(purpose: str) -> str:
    if not _PURPOSE.fullmatch(purpose):
        raise UsageError(f"{purpose[:80]!r} is no purpose", "purposes are of a-z, 0-9 and '.', '_', ':', '-'")
    return purpose


def _right_purpose(found: str, wanted: str, what: str) -> None:
    if found != _checked(wanted):
        raise RemoteRefused(f"{what} was made for another purpose: {found[:120]!r}, not {wanted!r}", _REFUSED)


def _known_format(line: bytes, kind: bytes, what: str) -> None:
    number = line.removeprefix(kind).removesuffix(b"\n")
    if not line.startswith(kind) or not line.endswith(b"\n") or not re.fullmatch(rb"[1-9][0-9]{0,5}", number):
        raise RemoteRefused(f"{what} is {'no sealed file' if kind == _FILE else 'no signed document'} of edge_sleep", _REFUSED)
    if int(number) > FORMAT:
        raise RemoteRefused(f"{what} is of a newer format ({int(number)}, this is {FORMAT})", "install a newer edge_sleep")


def _header(stream: BinaryIO, what: str) -> tuple[dict[str, Any], bytes, int]:
    """(header, its bytes, where the chunks begin), of the right form; nothing in it is believed yet."""
    _known_format(stream.readline(len(_FILE) + 8), _FILE, what)
    length = int.from_bytes(stream.read(4), "big")
    if length > _HEADER_LIMIT:
        raise RemoteRefused(f"{what}: its header is too large: {length} bytes, at most {_HEADER_LIMIT} are read", _REFUSED)
    raw = stream.read(length)
    if len(raw) != length or not raw:
        raise RemoteRefused(f"{what} is cut short: its header has {len(raw)} of {length} bytes", "fetch it again")
    header = foreign.document(raw, f"{what}: its header", limit_bytes=_HEADER_LIMIT)
    if not isinstance(header, dict) or set(header) != {"purpose", "made", "bytes", "signer", "stream", "to"} \
            or not isinstance(header["purpose"], str) or not _presented(header) \
            or type(header["bytes"]) is not int or not 0 <= header["bytes"] < 1 << 50 or not _hex(header["stream"], 24) \
            or not isinstance(header["to"], list) or not 1 <= len(header["to"]) <= _MOST_READERS \
            or not all(isinstance(entry, dict) and set(entry) == {"box_key", "key"} and _hex(entry["box_key"], 32)
                       and _hex(entry["key"], 80) for entry in header["to"]):
        raise RemoteRefused(f"{what}: its header does not say who signed it, for whom and for what", _REFUSED)
    return header, raw, stream.tell()


def _presented(entry: dict[str, Any]) -> bool:
    signer = entry["signer"]
    return when(entry["made"]) is not None and isinstance(signer, dict) \
        and set(signer) == {"id", "sign_key", "box_key", "rotations"} and _hex(signer["id"], 8) \
        and _hex(signer["sign_key"], 32) and _hex(signer["box_key"], 32) and isinstance(signer["rotations"], list)


def _hex(value: Any, size: int) -> bool:
    return isinstance(value, str) and len(value) == 2 * size and bool(_HEX.fullmatch(value))


def _file_key(keys: Keys, to: list[dict[str, str]], what: str) -> bytes:
    for entry in to:
        if (key := keys.unbox(bytes.fromhex(entry["key"]), entry["box_key"])) is not None and len(key) == 32:
            return key
    raise RemoteRefused(f"{what} is not sealed for this machine ({keys.own.id})",
                        "whoever made it must be paired with this machine: `edge-sleep thor pair`")


def _decrypt(stream: BinaryIO, out: BinaryIO, raw: bytes, header: dict[str, Any], key: bytes, begin: int, signed: bytes,
             what: str) -> None:
    """Chunk by chunk to `out`; the file is hashed again, for it may have been replaced since its signature was verified."""
    nacl = sodium()
    stream.seek(0)
    digest = hashlib.sha256(stream.read(begin))
    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    nacl.crypto_secretstream_xchacha20poly1305_init_pull(state, bytes.fromhex(header["stream"]), key)
    left, bound, final = header["bytes"], raw, False
    while not final:
        size = min(CHUNK, left)
        chunk = stream.read(size + _OVERHEAD)
        digest.update(chunk)
        try:
            plain, tag = nacl.crypto_secretstream_xchacha20poly1305_pull(state, chunk, bound)
        except Exception as error:
            if type(error).__module__.startswith("nacl") or isinstance(error, ValueError):
                raise RemoteRefused(f"{what}: what is sealed in it does not hold", _REFUSED) from None
            raise
        left -= len(plain)
        final, bound = tag == nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL, b""
        if final != (left == 0):
            raise RemoteRefused(f"{what}: what is sealed in it {'ends early' if final else 'has no end'}", _REFUSED)
        out.write(plain)
    if digest.digest() != signed:
        raise RemoteRefused(f"{what} changed while it was read", "fetch it again")


def _blocks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (block := stream.read(min(1 << 20, length))):
        length -= len(block)
        yield block
