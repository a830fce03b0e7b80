import errno

import pytest

from edge_sleep.errors import Busy, IntegrityError, StorageError
from edge_sleep.system import files
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.events import EventLog, read_events
from edge_sleep.system.lock import hold, holder


def test_a_write_is_whole_and_hashed(tmp_path):
    sha256 = files.write_bytes(tmp_path / "deep" / "file", b"content")
    assert (tmp_path / "deep" / "file").read_bytes() == b"content"
    assert files.sha256_file(tmp_path / "deep" / "file") == sha256


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "file", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(StorageError, match="no space left"):
        files.write_bytes(tmp_path / "file", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_temporaries_of_a_power_cut_are_swept(tmp_path):
    (tmp_path / ".tmp-file.1").write_text("half")
    (tmp_path / ".tmp-folder").mkdir()
    (tmp_path / "file").write_text("whole")
    assert files.sweep_temporaries(tmp_path) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_unreadable_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"the thing .*x\.json"):
        files.read_json(tmp_path / "x.json", "the thing")


def test_a_torn_last_event_is_left_out(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", ManualClock())
    log("one", number=1)
    log("two")
    with open(tmp_path / "events.jsonl", "a") as stream:
        stream.write('{"at": "2026')
    assert [event["event"] for event in read_events(tmp_path / "events.jsonl")] == ["one", "two"]


def test_one_holder_at_a_time_and_its_name(tmp_path):
    lock = tmp_path / "state" / "night.lock"
    assert holder(lock) is None
    with hold(lock, "a night"):
        assert holder(lock)["what"] == "a night"
        with pytest.raises(Busy, match="a night"), hold(lock, "another"):
            pass
    assert holder(lock) is None


@pytest.mark.parametrize("text, lines", [("", []), ("{}\n", ["{}"]), ('{"a": "x\u2028y"}\n{}\n', ['{"a": "x\u2028y"}', "{}"]), ("{}\n{", ["{}", "{"])])
def test_only_a_newline_ends_a_line_of_json(text: str, lines: list[str]) -> None:
    assert files.json_lines(text) == lines
