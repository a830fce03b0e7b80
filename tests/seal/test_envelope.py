"""Sealed files and signed documents: what comes out is what went in, or a refusal by name and nothing written."""
from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.errors import RemoteRefused, UsageError
from edge_sleep.seal import envelope
from edge_sleep.seal.envelope import CHUNK
from edge_sleep.seal.keys import Keys
from tests.seal import homes

LINE = b"edge_sleep sealed file 1\n"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Keys]:
    """one and two trust each other; nobody trusts evil, who knows them all."""
    folder = tmp_path_factory.mktemp("three")
    one, two = homes.paired(folder, "one", "two")
    evil = homes.machine(folder, "evil")
    for known in (one, two):
        evil.add(known.own)
    return [one, two, evil]


def sealed(folder: Path, content: bytes, keys: Keys, to: list[Keys], purpose: str = "job:1") -> Path:
    (folder / "plain").write_bytes(content)
    envelope.seal(folder / "plain", folder / "sealed", keys, [each.own for each in to], purpose)
    return folder / "sealed"


def refused(source: Path, keys: Keys, words: str, purpose: str = "job:1", limit: int = 1 << 30) -> None:
    """By name, and without a trace on the disk."""
    before = homes.tree(source.parent)
    with pytest.raises(RemoteRefused, match=words):
        envelope.unseal(source, source.parent / "out" / "plain", keys, purpose, limit)
    after = homes.tree(source.parent)
    assert {name: what for name, what in after.items() if name != "out"} == before


AROUND = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 7]


@pytest.mark.parametrize("size", AROUND)
def test_round_trip_around_chunks(three: list[Keys], tmp_path: Path, size: int) -> None:
    one, two, _ = three
    content = random.Random(size).randbytes(size)
    file = sealed(tmp_path, content, one, [one, two])
    for reader in (one, two):
        assert envelope.unseal(file, tmp_path / "read", reader, "job:1", size) == one.own
        assert (tmp_path / "read").read_bytes() == content
    assert size < 64 or content[:64] not in file.read_bytes()
    if size:
        refused(file, two, "too large", limit=size - 1)


@settings(max_examples=25)
@given(st.integers(0, 3 * CHUNK), st.integers(0, 2**32))
def test_round_trip(three: list[Keys], tmp_path_factory: pytest.TempPathFactory, size: int, seed: int) -> None:
    one, two, _ = three
    folder = tmp_path_factory.mktemp("round")
    content = random.Random(seed).randbytes(size)
    envelope.unseal(sealed(folder, content, one, [two]), folder / "read", two, "job:1", size)
    assert (folder / "read").read_bytes() == content


def test_the_same_file_is_never_sealed_to_the_same_bytes(three: list[Keys], tmp_path: Path) -> None:
    one, two, _ = three
    first = sealed(tmp_path, b"x" * 100, one, [two]).read_bytes()
    assert sealed(tmp_path, b"x" * 100, one, [two]).read_bytes() != first


def test_every_flipped_bit_is_refused(three: list[Keys], tmp_path: Path) -> None:
    """One of each byte of the first and last 100 and of the chunks' ends; 100 others at random."""
    one, two, _ = three
    file = sealed(tmp_path, random.Random(1).randbytes(CHUNK + 5000), one, [two])
    whole = file.read_bytes()
    draw = random.Random(2)
    begin = whole.index(b"}", whole.index(b'"to"')) + 2
    places = {*range(100), *range(len(whole) - 100, len(whole)), *range(begin, begin + 20), *range(begin + CHUNK, begin + CHUNK + 30)}
    for place in [*sorted(places), *(draw.randrange(len(whole)) for _ in range(100))]:
        altered = bytearray(whole)
        altered[place] ^= 1 << draw.randrange(8)
        file.write_bytes(altered)
        with pytest.raises(RemoteRefused):
            envelope.unseal(file, tmp_path / "out", two, "job:1", 1 << 30)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".tmp-*"))


def test_cut_and_lengthened(three: list[Keys], tmp_path: Path) -> None:
    one, two, _ = three
    file = sealed(tmp_path, b"x" * (2 * CHUNK), one, [two])
    whole = file.read_bytes()
    for length in (len(whole) - 1, len(whole) - 64, len(whole) - CHUNK, len(whole) // 2):
        file.write_bytes(whole[:length])
        refused(file, two, "cut short")
    for length in (0, 5, 24, 25, 27, 29, 40, 300):
        file.write_bytes(whole[:length])
        refused(file, two, "cut short|no sealed file")
    file.write_bytes(whole + b"x")
    refused(file, two, "longer than it says")


def parts(whole: bytes) -> tuple[dict, bytes, list[bytes], bytes]:
    """(header, its bytes, chunks, signature)"""
    at = len(LINE)
    length, = struct.unpack(">I", whole[at:at + 4])
    raw = whole[at + 4:at + 4 + length]
    body, step = whole[at + 4 + length:-64], CHUNK + 17
    return json.loads(raw), raw, [body[place:place + step] for place in range(0, len(body), step)], whole[-64:]


def joined(raw: bytes, chunks: list[bytes], keys: Keys, purpose: str = "job:1") -> bytes:
    """The parts as a file with a signature that holds: what a trusted machine could make, were it another's."""
    import hashlib

    body = LINE + struct.pack(">I", len(raw)) + raw + b"".join(chunks)
    return body + keys.sign(envelope._signed(b"edge_sleep sealed file ", purpose, hashlib.sha256(body).digest()))


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 0, 2], [0, 2, 1], [1, 1, 1]])
def test_chunks_in_another_order_under_a_signature_that_holds(three: list[Keys], tmp_path: Path, order: list[int]) -> None:
    one, two, _ = three
    file = sealed(tmp_path, random.Random(1).randbytes(3 * CHUNK), one, [two])
    _, raw, chunks, _ = parts(file.read_bytes())
    file.write_bytes(joined(raw, chunks, one))
    envelope.unseal(file, tmp_path / "same", two, "job:1", 1 << 30)
    (tmp_path / "same").unlink()
    file.write_bytes(joined(raw, [chunks[place] for place in order], one))
    refused(file, two, "does not hold")


def test_an_early_end_under_a_signature_that_holds(three: list[Keys], tmp_path: Path) -> None:
    one, two, _ = three
    file = sealed(tmp_path, random.Random(1).randbytes(3 * CHUNK), one, [two])
    header, _, chunks, _ = parts(file.read_bytes())
    shorter = envelope.canonical_json(header | {"bytes": 2 * CHUNK})
    file.write_bytes(joined(shorter, chunks[:2], one))
    refused(file, two, "does not hold")             # the header is bound to the first chunk


def test_nobody_takes_another_ones_file_for_his_own(three: list[Keys], tmp_path: Path) -> None:
    one, two, evil = three
    two.add(evil.own)
    try:
        file = sealed(tmp_path, b"mine", one, [two])
        header, raw, chunks, _ = parts(file.read_bytes())
        file.write_bytes(joined(raw, chunks, evil))
        refused(file, two, "signature of machine .* does not hold")
        claimed = envelope.canonical_json(header | {"signer": envelope.presented(evil.own)})
        file.write_bytes(joined(claimed, chunks, evil))
        refused(file, two, "what is sealed in it does not hold")
    finally:
        two.forget(evil.own.id)


def test_who_and_for_what(three: list[Keys], tmp_path: Path) -> None:
    one, two, evil = three
    refused(sealed(tmp_path, b"x", one, [one]), two, "not sealed for this machine")
    refused(sealed(tmp_path, b"x", evil, [two]), two, "unknown signer")
    refused(sealed(tmp_path, b"x", one, [two]), two, "another purpose: 'job:1', not 'result:1'", purpose="result:1")
    file = sealed(tmp_path, b"x", evil, [two])
    header, _, chunks, _ = parts(file.read_bytes())
    file.write_bytes(joined(envelope.canonical_json(header | {"signer": envelope.presented(one.own)}), chunks, evil))
    refused(file, two, "signature .* does not hold")
    known = envelope.presented(one.own) | {"sign_key": evil.own.sign_key}
    file.write_bytes(joined(envelope.canonical_json(header | {"signer": known}), chunks, evil))
    refused(file, two, "not that of its first key")


@pytest.mark.parametrize("change, words", [
    (lambda raw: raw.replace(LINE, b"edge_sleep sealed file 2\n"), "newer format"),
    (lambda raw: b"PK" + raw, "no sealed file"), (lambda raw: raw.replace(b"file 1\n", b"file 01\n"), "no sealed file"),
    (lambda raw: LINE + b"\xff\xff\xff\xff" + raw[29:], "header is too large"),
    (lambda raw: LINE + b"\0\0\0\0" + raw[29:], "cut short"),
    (lambda raw: LINE + struct.pack(">I", 40000) + b"[" * 40000, "nested too deeply"),
    (lambda raw: LINE + struct.pack(">I", 8) + b'{"a":1} ' + raw, "does not say who"),
    (lambda raw: raw.replace(b'"bytes":1,', b'"bytes":1e400,').replace(raw[25:29], struct.pack(">I", parts_length(raw) + 4)), "range"),
    (lambda raw: raw.replace(b'"bytes":1,', b'"bytes":-1,').replace(raw[25:29], struct.pack(">I", parts_length(raw) + 1)), "does not say")])
def test_headers_of_a_stranger(three: list[Keys], tmp_path: Path, change: Callable[[bytes], bytes], words: str) -> None:
    one, two, _ = three
    file = sealed(tmp_path, b"x", one, [two])
    file.write_bytes(change(file.read_bytes()))
    refused(file, two, words)


def parts_length(raw: bytes) -> int:
    return struct.unpack(">I", raw[25:29])[0]


def test_what_is_not_sealed_at_all(three: list[Keys], tmp_path: Path) -> None:
    one, two, _ = three
    (tmp_path / "plain").write_bytes(b"x")
    for to, purpose in (([], "job:1"), ([two.own] * 65, "job:1"), ([two.own], "job 1"), ([two.own], "job\0"), ([two.own], "")):
        with pytest.raises(UsageError):
            envelope.seal(tmp_path / "plain", tmp_path / "sealed", one, to, purpose)
    assert [file.name for file in tmp_path.iterdir()] == ["plain"]


def test_documents(three: list[Keys]) -> None:
    one, two, evil = three
    said = {"job": "1", "deep": [{"a": [1.5, None, "ü \u2028"]}]}
    content = envelope.sign(said, one, "lease:1")
    assert envelope.opened(content, two, "lease:1") == (said, one.own)
    lines = content.split(b"\n")
    cases = [(content, "lease:2", "another purpose"), (envelope.sign(said, evil, "lease:1"), "lease:1", "unknown signer"),
             (content.replace(b"document 1", b"document 2"), "lease:1", "newer format"), (content[:-1], "lease:1", "cut short"),
             (content[:60], "lease:1", "cut short"), (b"", "lease:1", "no signed document"), (b"{}", "lease:1", "no signed document"),
             (content.replace(b"1.5", b"2.5"), "lease:1", "signature .* does not hold"),
             (b"\n".join([lines[0], lines[1], envelope.sign(said, evil, "lease:1").split(b"\n")[2], b""]), "lease:1", "does not hold"),
             (b"\n".join([lines[0], b'{"document":{}}', lines[2], b""]), "lease:1", "does not say who signed"),
             (b"\n".join([lines[0], b'{"a":1,"a":2}', lines[2], b""]), "lease:1", "twice"),
             (b"x" * (1 << 21), "lease:1", "too large")]
    for altered, purpose, words in cases:
        with pytest.raises(RemoteRefused, match=words):
            envelope.opened(altered, two, purpose)
    with pytest.raises(UsageError, match="bytes"):
        envelope.sign({"x": "y" * (1 << 20)}, one, "lease:1")


@settings(max_examples=80)
@given(st.data())
def test_an_altered_document_is_refused(three: list[Keys], data: st.DataObject) -> None:
    one, two, _ = three
    content = envelope.sign({"job": "1", "n": 12}, one, "lease:1")
    place = data.draw(st.integers(0, len(content) - 1))
    altered = content[:place] + data.draw(st.binary(min_size=0, max_size=3)) + content[place + data.draw(st.integers(0, 3)):]
    if altered != content:
        with pytest.raises(RemoteRefused):
            envelope.opened(altered, two, "lease:1")


MEASURE = """
import resource, sys, time
from pathlib import Path
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
folder = Path(sys.argv[1])
one, two = Keys.open(folder / "one"), Keys.open(folder / "two")
one.add(two.own); two.add(one.own)
for name, size in (("little", 1 << 20), ("big", int(sys.argv[2]))):
    with open(folder / name, "wb") as out: out.truncate(size)
    begin = time.perf_counter()
    envelope.seal(folder / name, folder / "sealed", one, [two.own], "job:1")
    half = time.perf_counter()
    envelope.unseal(folder / "sealed", folder / "back", two, "job:1", size)
    assert (folder / "back").stat().st_size == size
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, round(half - begin, 2), round(time.perf_counter() - half, 2))
"""


def measured(folder: Path, size: int) -> list[list[float]]:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(folder), str(size)], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    return [[float(value) for value in line.split()] for line in done.stdout.splitlines()]


def test_memory_is_that_of_a_chunk(tmp_path: Path) -> None:
    little, big = measured(tmp_path, 40 << 20)
    assert big[0] - little[0] < 4096, "KiB more for forty times the bytes"


@pytest.mark.long
def test_memory_of_a_big_file(tmp_path: Path) -> None:
    little, big = measured(tmp_path, 200 << 20)
    print(f"\nKiB resident at most, seconds to seal, to unseal: 1 MiB {little}, 200 MiB {big}")
    assert big[0] - little[0] < 4096


