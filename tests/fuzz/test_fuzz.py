"""Altered files of every kind: whoever reads them refuses by name or reads them; what once failed is tried first, for ever."""
from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import readers as fuzz
from tests.fuzz.altering import altered_bytes, altered_values
from tests.fuzz.readers import Reader

SHORT, LONG = 12, 1500
NAMES = ["transcript", "transcript-lines", "configuration", "sets", "profile", "probes", "manifest", "pointer", "mark", "base", "record", "plan",
         "events", "metabolic", "intent", "lock"]
DEEP = (b"[" * 3_000, b'{"a":' * 3_000, b"- " * 1_500, b"1" * 5_000, b"{a: " * 1_500, b"\xff\xfe\x00\xd8", b"", b"\0" * 64, b"null",
        b"[]", b"{}", b'""', b"!!int x", b"!!timestamp 2001-99-99", b"a: !!float x", b"08: 1", b"train:\n  seed: 08", b"? [a]\n: b", b"!!bool x",
        b"!!python/object:os.system x", b"&a [*a, *a]",
        b"a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c]\n"
        b"e: &e [*d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e]\ng: &g [*f, *f, *f, *f, *f, *f]\ntrain:\n  epochs: *g\n")


@pytest.fixture(scope="module")
def all_readers() -> dict[str, Reader]:
    found = fuzz.readers()
    assert list(found) == NAMES
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)           # no power is cut here


def alterations(reader: Reader) -> st.SearchStrategy[bytes]:
    """Bytes of a good file altered, and values inside where it is JSON."""
    ways: list[st.SearchStrategy] = []
    for seed in reader.seeds:
        ways.append(altered_bytes(seed))
        with suppress(ValueError):
            ways.append(altered_values(json.loads(seed)).map(lambda found: json.dumps(found).encode()))
    return st.one_of(ways)


def campaign(name: str, reader: Reader, examples: int, folder: Path) -> Counter[str]:
    """What came of so many alterations. One that fails, as small as it could be made, goes into the corpus."""
    came, last = Counter[str](), [b""]

    @settings(max_examples=examples, database=None, phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck))
    @given(alterations(reader))
    def alter(content: bytes) -> None:
        last[0] = content
        came[fuzz.tried(reader, content, folder)] += 1

    try:
        alter()
    except BaseException:
        print(f"kept as {fuzz.keep(name, last[0], reader.suffix)}")
        raise
    return came


@pytest.mark.parametrize("name", NAMES)
def test_a_good_file_is_read(name: str, all_readers: dict[str, Reader], tmp_path: Path) -> None:
    for seed in all_readers[name].seeds:
        assert fuzz.tried(all_readers[name], seed, tmp_path / "f") == "read"


@pytest.mark.parametrize("name", NAMES)
def test_altered_it_is_read_or_refused(name: str, all_readers: dict[str, Reader], tmp_path: Path) -> None:
    campaign(name, all_readers[name], SHORT, tmp_path / "f")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_to_hurt(name: str, all_readers: dict[str, Reader], tmp_path: Path) -> None:
    for content in DEEP:
        fuzz.tried(all_readers[name], content, tmp_path / "f")
    assert fuzz.peak_bytes(all_readers[name], DEEP[-1], tmp_path / "f") < fuzz.MOST_BYTES


@pytest.mark.parametrize("name, file", fuzz.kept(), ids=lambda value: value.name if isinstance(value, Path) else value)
def test_what_once_failed(name: str, file: Path, all_readers: dict[str, Reader], tmp_path: Path) -> None:
    fuzz.tried(all_readers[name], file.read_bytes(), tmp_path / "f")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_altered_very_often(name: str, all_readers: dict[str, Reader], tmp_path: Path) -> None:
    began = time.process_time()
    came = campaign(name, all_readers[name], LONG, tmp_path / "f")
    print(f"\nfuzz | {name} | {came.total()} | {came['refused']} | {came['read']} | {time.process_time() - began:.0f} s")
