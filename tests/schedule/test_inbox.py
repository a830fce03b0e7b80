"""Transcripts that wait are read once they have come to rest, by a process of its own, and not again."""
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.schedule import inbox
from edge_sleep.schedule.inbox import Reader, contents, places
from edge_sleep.system.home import Home

NOW = 1_800_000_000.0


def write(file: Path, text: str = "{}", age: float = 3600.0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (NOW - age, NOW - age))
    return file


def test_the_mark_follows_what_is_there(tmp_path: Path) -> None:
    assert contents([tmp_path], NOW) is None                              # nothing there
    write(tmp_path / "a.json")
    first = contents([tmp_path], NOW)
    assert first is not None and first == contents([tmp_path], NOW + 5)
    write(tmp_path / "notes.txt", age=0)
    assert contents([tmp_path], NOW) == first
    write(tmp_path / "a.json", "{ }")
    grown = contents([tmp_path], NOW)
    write(tmp_path / "below" / "b.jsonl")
    assert len({first, grown, contents([tmp_path], NOW)}) == 3


@pytest.mark.parametrize("age, rests", [(0.0, False), (59.0, False), (60.0, True), (-5000.0, True)])
def test_a_file_that_was_just_written_is_let_rest(tmp_path: Path, age: float, rests: bool) -> None:
    write(tmp_path / "a.json", age=age)                                   # one from the future rests as well: the clock was set
    assert (contents([tmp_path], NOW) is not None) is rests


def test_an_open_file_counts_when_it_is_closed(tmp_path: Path, monkeypatch) -> None:
    one, two = write(tmp_path / "a.json"), write(tmp_path / "b.json")
    both = contents([tmp_path], NOW)
    monkeypatch.setattr(inbox, "being_written", lambda suffixes: {inbox.identity(two)})
    assert contents([tmp_path], NOW) not in (None, both) and contents([one], NOW) is not None and contents([two], NOW) is None


def test_places_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    settings = config.load(None, [f"data.sessions=[{tmp_path}/talk, {tmp_path}/none]"])
    (tmp_path / "talk").mkdir()
    assert places(home, settings) == [tmp_path / "talk"]
    home.sessions.mkdir()
    assert places(home, settings) == [tmp_path / "talk", home.sessions]


class Bench:
    def __init__(self, tmp_path: Path, code: int = 0):
        self.home, self.read, self.said = Home(tmp_path / "home").make(), tmp_path / "read", []
        self.folder, self.known, self.since_boot = tmp_path / "talk", None, 0.0
        self.config = config.load(None, [f"data.sessions=[{self.folder}]"])
        program = f"import sys; open({str(self.read)!r}, 'a').write('read\\n'); sys.exit({code})"
        self.reader = Reader(self.home, lambda paths: [sys.executable, "-S", "-E", "-c", program, *map(str, paths)], self.said.append, os.environ)

    def look(self, free: bool = True) -> None:
        self.since_boot += inbox.LOOK_SECONDS
        self.known = self.reader.look(self.known, self.config, NOW, self.since_boot, free)
        until = time.monotonic() + 60
        while self.reader.busy and time.monotonic() < until:
            time.sleep(0.01)
            self.known = self.reader.look(self.known, self.config, NOW, self.since_boot, free)

    @property
    def times(self) -> int:
        return self.read.read_text().count("read") if self.read.exists() else 0


def test_what_waits_is_read_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    write(bench.folder / "a.json")
    bench.look(free=False)
    assert bench.times == 0 and bench.known is None
    for _ in range(3):
        bench.look()
    assert bench.times == 1 and bench.said == ["transcripts were read"]
    write(bench.folder / "b.json")
    bench.look()
    assert bench.times == 2


def test_what_cannot_be_read_waits_for_a_change(tmp_path: Path) -> None:
    bench = Bench(tmp_path, code=21)
    write(bench.folder / "a.json")
    for _ in range(3):
        bench.look()
    assert bench.times == 1 and "ended with 21" in bench.said[0]
    write(bench.folder / "a.json", "{ }")
    bench.look()
    assert bench.times == 2
