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


def test_a_folder_is_published_without_what_a_killed_start_left_in_it(tmp_path):
    (staged := tmp_path / ".tmp-candidate").mkdir()
    (staged / "manifest.json").write_text("{}")
    (staged / ".tmp-manifest.json.4711").write_text("{")
    files.publish_folder(staged, tmp_path / "final")
    assert [entry.name for entry in (tmp_path / "final").iterdir()] == ["manifest.json"]


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


@pytest.mark.parametrize("number, said", [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EACCES, "cannot be read or written"),
                                          (errno.EROFS, "cannot be read or written"), (errno.EIO, "the disk of .* fails"), (errno.ESTALE, "fails")])
def test_what_a_disk_answers_is_named(tmp_path, number: int, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught, files.storage_errors(tmp_path / "file"):
        raise OSError(number, "as the kernel says it")
    assert caught.value.do


@pytest.mark.parametrize("content", [b"[" * 20_000, b"1" * 5_000, b"\xff", b'{"a": 1', b""])
def test_json_that_python_cannot_read_is_damage(tmp_path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(IntegrityError, match="not readable JSON"):
        files.read_json(tmp_path / "x.json", "the thing")


@pytest.mark.parametrize("content, said", [(b"[]", "holds no object"), (b"null", "holds no object"), (b'{"a": 1}', "lacks b, c")])
def test_an_object_has_its_keys(tmp_path, content: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=said):
        files.read_object(tmp_path / "x.json", "the thing", "a", "b", "c")


def test_every_flipped_bit_of_a_sealed_document_shows(tmp_path) -> None:
    document = {"key": "k" * 8, "steps": [1, 2.5], "by": {1: "one"}}
    files.write_sealed(tmp_path / "x.json", document)
    whole = (tmp_path / "x.json").read_bytes()
    wanted = {"key": "k" * 8, "steps": [1, 2.5], "by": {"1": "one"}}
    assert files.read_sealed(tmp_path / "x.json", "the thing") == wanted
    for at in range(len(whole)):
        (tmp_path / "x.json").write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:])
        try:
            found = files.read_sealed(tmp_path / "x.json", "the thing", *document)
        except IntegrityError:
            continue
        # White space, or the seal's own name: then it is as one that an older version wrote.
        assert {key: found[key] for key in wanted} == wanted
    (tmp_path / "x.json").write_text('{"written": "by an older version"}')
    assert files.read_sealed(tmp_path / "x.json", "the thing") == {"written": "by an older version"}


def test_a_log_with_a_line_that_python_cannot_read_is_read(tmp_path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"[" * 20_000 + b'\n{"event": "one"}\n' + b"1" * 5_000 + b"\n")
    assert read_events(tmp_path / "events.jsonl") == [{"event": "one"}]


@pytest.mark.parametrize("content", [b"[" * 4_000, b"null", b"[]", b'"a"', b"\xff", b"1" * 4_096])
def test_a_holder_that_wrote_nonsense_still_holds(tmp_path, content: bytes) -> None:
    lock = tmp_path / "night.lock"
    with hold(lock, "a night"):
        lock.write_bytes(content)
        assert holder(lock) == {}
        with pytest.raises(Busy, match="another process"), hold(lock, "another"):
            pass
