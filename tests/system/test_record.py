"""Records of nights: whole, or left out; an old one that is damaged keeps no later night from beginning."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sleep.errors import IntegrityError, StorageError
from edge_sleep.system import record
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.events import EventLog


def written(nights: Path, name: str, /, **changes: object) -> Path:
    file = nights / name / "record.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record.blank(name, "2026-01-17T23:00:00+00:00") | {"outcome": "promoted"} | changes))
    return file


def test_what_an_older_version_left_out_is_there(tmp_path: Path) -> None:
    file = written(tmp_path, "a", measured={"tokens_per_second": 12.5})
    document = json.loads(file.read_text())
    del document["plan"]
    file.write_text(json.dumps(document))
    found = record.read(file)
    assert found["measured"]["tokens_per_second"] == 12.5 and found["measured"]["energy_joules"] is None
    assert found["plan"]["where"] is None and set(found) == set(record.blank("a", ""))


@pytest.mark.parametrize("changes", [{"outcome": "promotfd"}, {"night": 3}, {"measured": []}, {"measured": {"energy_joules": "x"}}, {"phases": {}},
                                     {"phases": [3]}, {"phases": [{"name": "train"}]}, {"gate": None}, {"data": "x"}, {"base": True}])
def test_a_damaged_one_is_named_and_left_out(tmp_path: Path, changes: dict) -> None:
    file = written(tmp_path, "b", **changes)
    written(tmp_path, "a")
    written(tmp_path, "c")
    with pytest.raises(IntegrityError, match="record"):
        record.read(file)
    assert [one["night"] for one in record.read_records(tmp_path)] == ["a", "c"]


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"{}", b"[" * 20_000])
def test_a_night_that_goes_on_begins_a_damaged_record_anew(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, "a")
    file.write_bytes(content)
    assert record.read_records(tmp_path) == []
    clock = ManualClock()
    assert record.Recorder(file, "a", clock, EventLog(None, clock)).record == record.blank("a", clock.stamp())


def test_a_phase_that_could_not_be_announced_has_its_time_and_its_end(tmp_path: Path) -> None:
    """Its record is gone on with by the next start; a phase without a time broke that one's report."""
    clock = ManualClock()

    def full(event: dict) -> None:
        if event.get("state") == "begin":
            raise StorageError("no space left")

    recorder = record.Recorder(tmp_path / "record.json", "a", clock, EventLog(None, clock, full))
    with pytest.raises(StorageError), recorder.phase("judge"):
        raise AssertionError("it never began")
    assert recorder.record["phases"] == [{"name": "judge", "seconds": 0.0, "outcome": "failed"}]
