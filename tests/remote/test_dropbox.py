"""Dropbox where something happens at a place that is chosen, not drawn."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sleep.errors import EdgeSleepError, StorageError, SyncError
from edge_sleep.remote.choose import open_remote
from edge_sleep.remote.protocol import Full, Missing, NotAllowed, Taken, Unreachable
from edge_sleep.remote.token import Token, save
from tests.fake_dropbox import APP_KEY, REFRESH_TOKEN, Server, until
from tests.remote.conftest import BLOCK_BYTES, CHUNK_BYTES

CONTENT = bytes(index * 31 % 256 for index in range(5 * CHUNK_BYTES + 100))
KEY = "/apps/edge sleep/a/x"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(CONTENT)
    return tmp_path / "source"


def once(kind: str, route: str, at: int = 1, times: int = 1) -> Callable[[str], str | None]:
    """That fault at the so-manieth request of a route, and so many times."""
    seen = 0

    def fault(asked: str) -> str | None:
        nonlocal seen
        seen += asked == route
        return kind if asked == route and at <= seen < at + times else None

    return fault


def count(server: Server, route: str) -> int:
    return server.requests.count(route)


def test_a_process_that_is_killed_is_gone_on_with_by_another(dropbox_server, tmp_path, source):
    """Nothing that Dropbox had is sent again, but the chunk on its way."""
    save(tmp_path / "keys", Token(APP_KEY, REFRESH_TOKEN))
    # The child sends two chunks a second, so that it is met in the middle.
    code = f"""
from pathlib import Path
from edge_sleep.remote.dropbox import DropboxRemote
from edge_sleep.remote.token import load
remote = DropboxRemote("/Apps/edge sleep", load(Path({str(tmp_path / "keys")!r})), chunk_bytes={CHUNK_BYTES}, bandwidth_bytes={2 * CHUNK_BYTES})
remote.put("a/x", Path({str(source)!r}), Path({str(tmp_path / "note")!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **dropbox_server.environment()})
    until(lambda: count(dropbox_server, "upload_session_append_v2") >= 3, 60)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    assert dropbox_server.files == {} and json.loads((tmp_path / "note").read_text())["session"]
    before = count(dropbox_server, "upload_session_append_v2")
    remote = open_remote("dropbox:/Apps/edge sleep", keys=tmp_path / "keys")
    remote._chunk_bytes = CHUNK_BYTES
    assert remote.list("") == []
    remote.put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and len(dropbox_server.log) == 1
    assert count(dropbox_server, "upload_session_start") == 1
    assert count(dropbox_server, "upload_session_append_v2") - before <= 6 - before + 1
    assert not (tmp_path / "note").exists()


@pytest.mark.parametrize("kind", ["cut_request", "cut_answer", "500", "silence", "expired", "wrong_hash", "foreign"])
@pytest.mark.parametrize("seed", range(3))
def test_a_chunk_that_fails_once_is_sent_once_more(open_dropbox, dropbox_server, tmp_path, source, kind, seed):
    dropbox_server.draw.seed(seed)
    dropbox_server.faults = once(kind, "upload_session_append_v2", at=3)
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and len(dropbox_server.log) == 1
    assert count(dropbox_server, "upload_session_start") == 1
    assert 6 <= count(dropbox_server, "upload_session_append_v2") <= 8


@pytest.mark.parametrize("kind", ["cut_answer", "500", "silence"])
@pytest.mark.parametrize("seed", range(3))
def test_a_name_that_was_given_though_the_answer_was_lost(open_dropbox, dropbox_server, tmp_path, source, kind, seed):
    dropbox_server.draw.seed(seed)
    dropbox_server.faults = once(kind, "upload_session_finish")
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and len(dropbox_server.log) == 1
    assert count(dropbox_server, "upload_session_start") == 1


def test_a_session_that_dropbox_forgot_is_begun_anew(open_dropbox, dropbox_server, tmp_path, source):
    dropbox_server.faults = once("full", "upload_session_finish")
    with pytest.raises(Full):
        open_dropbox().put("a/x", source, tmp_path / "note")
    assert open_dropbox().list("") == []
    dropbox_server.sessions.clear()
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and count(dropbox_server, "upload_session_start") == 2


def test_a_full_dropbox_that_has_room_again_takes_what_was_sent(open_dropbox, dropbox_server, tmp_path, source):
    dropbox_server.faults = once("full", "upload_session_finish", times=2)
    for _ in range(2):
        with pytest.raises(Full, match="full"):
            open_dropbox().put("a/x", source, tmp_path / "note")
    sent = count(dropbox_server, "upload_session_append_v2")
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and count(dropbox_server, "upload_session_append_v2") == sent == 6


def test_a_file_that_was_put_together_wrongly_is_written_over(open_dropbox, dropbox_server, tmp_path, source):
    dropbox_server.faults = once("wrong_hash", "upload_session_finish")
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.damaged == [KEY] and dropbox_server.files[KEY].content == CONTENT and len(dropbox_server.log) == 2


def test_one_that_is_always_wrong_is_left_for_later_and_known_to_be(open_dropbox, dropbox_server, tmp_path, source):
    dropbox_server.faults = lambda route: "wrong_hash" if route == "upload_session_finish" else None
    with pytest.raises(Unreachable, match="otherwise than it was sent"):
        open_dropbox().put("a/x", source, tmp_path / "note")
    dropbox_server.faults = lambda route: None
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and not (tmp_path / "note").exists()


@pytest.mark.parametrize("change", [{"session": "pid_upload_session:none"}, {"offset": 10 ** 9}, {"offset": -1}, {"offset": 1}, {"size": 3},
                                    {"hash": "0" * 64}, {"name": "other"}, {"format": 2}, {"more": 1}, {"session": 7}, {"offset": None}])
def test_a_note_that_is_wrong_costs_time_and_nothing_else(open_dropbox, dropbox_server, tmp_path, source, change):
    dropbox_server.faults = once("full", "upload_session_finish")
    with pytest.raises(Full):
        open_dropbox().put("a/x", source, tmp_path / "note")
    note = json.loads((tmp_path / "note").read_text())
    (tmp_path / "note").write_text(json.dumps({**note, **change}))
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT and not (tmp_path / "note").exists()


def test_a_source_that_changed_is_sent_as_it_is_now(open_dropbox, dropbox_server, tmp_path, source):
    dropbox_server.faults = once("full", "upload_session_finish")
    with pytest.raises(Full):
        open_dropbox().put("a/x", source, tmp_path / "note")
    source.write_bytes(CONTENT[::-1])
    open_dropbox().put("a/x", source, tmp_path / "note")
    assert dropbox_server.files[KEY].content == CONTENT[::-1]


@pytest.mark.parametrize("kind, requests", [("cut_answer", 2), ("cut_request", 2), ("silence", 2), ("wrong_hash", 2), ("500", 2)])
def test_a_fetch_that_fails_once(open_dropbox, dropbox_server, tmp_path, source, kind, requests):
    open_dropbox().put("a/x", source, tmp_path / "note")
    dropbox_server.faults = once(kind, "download")
    open_dropbox().get("a/x", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == CONTENT and not (tmp_path / "t.part").exists()
    assert count(dropbox_server, "download") == requests


def test_a_fetch_goes_on_in_another_process_from_where_it_was(open_dropbox, dropbox_server, tmp_path, source, monkeypatch):
    open_dropbox().put("a/x", source, tmp_path / "note")
    dropbox_server.faults = lambda route: "cut_answer" if route == "download" and count(dropbox_server, "download") == 1 else \
        ("429" if route == "download" and count(dropbox_server, "download") < 20 else None)
    with pytest.raises(Unreachable):
        open_dropbox().get("a/x", tmp_path / "t")
    half = (tmp_path / "t.part").stat().st_size
    assert half == len(CONTENT) // 2 // BLOCK_BYTES * BLOCK_BYTES and not (tmp_path / "t").exists()
    dropbox_server.faults = lambda route: None
    sent = []
    monkeypatch.setattr("edge_sleep.remote.dropbox.Bandwidth.spent", lambda self, moved: sent.append(moved))
    open_dropbox().get("a/x", tmp_path / "t")
    assert sum(sent) == len(CONTENT) - half and (tmp_path / "t").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT + b"more", bytes(1000), CONTENT])
def test_a_part_of_something_else(open_dropbox, tmp_path, source, part):
    open_dropbox().put("a/x", source, tmp_path / "note")
    (tmp_path / "t.part").write_bytes(part)
    open_dropbox().get("a/x", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == CONTENT


def test_a_server_that_knows_no_range_sends_all_of_it(open_dropbox, dropbox_server, tmp_path, source):
    open_dropbox().put("a/x", source, tmp_path / "note")
    (tmp_path / "t.part").write_bytes(CONTENT[:1000])
    dropbox_server.faults = once("stale", "download")
    open_dropbox().get("a/x", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == CONTENT


def test_a_document_that_is_replaced_while_it_is_fetched(open_dropbox, dropbox_server, tmp_path, source):
    remote = open_dropbox()
    remote.put("a/x", source, tmp_path / "note")
    dropbox_server.faults = once("cut_answer", "download")
    whole = remote._stream

    def replaced(*arguments):
        try:
            return whole(*arguments)
        finally:
            if count(dropbox_server, "download") == 1:
                open_dropbox().publish("a/x", CONTENT[::-1], replace=True)

    remote._stream = replaced
    remote.get("a/x", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == CONTENT[::-1]


def test_a_blob_that_is_pruned_while_it_is_fetched(open_dropbox, dropbox_server, tmp_path, source):
    open_dropbox().put("a/x", source, tmp_path / "note")

    def pruned(route):
        if route == "download":
            dropbox_server.files.clear()

    dropbox_server.faults = pruned
    with pytest.raises(Missing):
        open_dropbox().get("a/x", tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_home_that_is_full_is_not_a_full_dropbox(open_dropbox, tmp_path, source, monkeypatch):
    open_dropbox().put("a/x", source, tmp_path / "note")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_sleep.remote.dropbox.os.replace", fails)
    with pytest.raises(StorageError):
        open_dropbox().get("a/x", tmp_path / "t")


def test_what_always_comes_damaged_is_never_kept(open_dropbox, dropbox_server, tmp_path, source):
    remote = open_dropbox()
    remote.put("a/x", source, tmp_path / "note")
    dropbox_server.faults = lambda route: "wrong_hash" if route == "download" else None
    for ask in (lambda: remote.get("a/x", tmp_path / "t"), lambda: remote.read("a/x", 10 ** 6)):
        with pytest.raises(Unreachable, match="otherwise than Dropbox says"):
            ask()
    assert not (tmp_path / "t").exists() and (tmp_path / "t.part").stat().st_size == 0


@pytest.mark.parametrize("kind", ["cut_answer", "500", "silence"])
@pytest.mark.parametrize("seed", range(3))
def test_a_name_that_was_published_though_the_answer_was_lost_is_ours(open_dropbox, dropbox_server, kind, seed):
    dropbox_server.draw.seed(seed)
    dropbox_server.faults = once(kind, "upload")
    open_dropbox().publish("a/x", b"mine")
    with pytest.raises(Taken):
        open_dropbox().publish("a/x", b"yours")
    assert dropbox_server.files[KEY].content == b"mine" and len(dropbox_server.log) == 1


def test_a_lost_answer_does_not_make_anothers_name_ours(open_dropbox, dropbox_server):
    open_dropbox().publish("a/x", b"theirs")
    dropbox_server.faults = once("silence", "upload")
    with pytest.raises(Taken):
        open_dropbox().publish("a/x", b"mine")
    assert dropbox_server.files[KEY].content == b"theirs"


def test_names_that_are_somebody_elses(open_dropbox, dropbox_server):
    remote = open_dropbox()
    remote.publish("jobs/a", b"x")
    for path in ("/Apps/Edge Sleep/Jobs/IMG 1.JPG", "/Apps/edge sleep/jobs/.hidden", "/apps/edge sleep/Photos/b", "/other/c",
                 "/apps/edge sleep/jobs/x.1234.partial"):
        dropbox_server.place(path, b"theirs")
    # Only the last part of a path has its true case, so a folder's capitals say nothing.
    assert [entry.name for entry in remote.list("")] == ["jobs/a", "photos/b"]


def test_a_list_that_begins_anew(open_dropbox, dropbox_server):
    remote = open_dropbox()
    for index in range(8):
        remote.publish(f"a/{index}", b"x")
    forgotten = iter([True, True, False])

    def fault(route):
        if route == "list_folder_continue" and next(forgotten, False):
            dropbox_server.cursors.clear()

    dropbox_server.faults = fault
    assert len(remote.list("a/")) == 8
    dropbox_server.faults = lambda route: dropbox_server.cursors.clear() if "continue" in route else None
    with pytest.raises(Unreachable):
        remote.list("a/")


def test_a_folder_where_a_file_should_be(open_dropbox, dropbox_server, tmp_path, source):
    remote = open_dropbox()
    remote.publish("a/x/y", b"x")
    for ask in (lambda: remote.put("a/x", source, tmp_path / "note"), lambda: remote.put("a/x/y/z", source, tmp_path / "note"),
                lambda: remote.publish("a/x", b"x"), lambda: remote.publish("a/x/y/z", b"x")):
        with pytest.raises(SyncError, match="conflict"):
            ask()
    for ask in (lambda: remote.read("a/x", 10), lambda: remote.get("a/x", tmp_path / "t")):
        with pytest.raises(Missing):
            ask()


def test_waiting_is_answered_at_once_by_what_another_machine_does(dropbox_server, tmp_path):
    """On the real clock: no interval of looking."""
    save(tmp_path / "keys", Token(APP_KEY, REFRESH_TOKEN))
    remote, other = (open_remote("dropbox:/x", keys=tmp_path / "keys") for _ in range(2))
    other.publish("jobs/a", b"x")
    remote.list("jobs/")
    assert remote.wait("jobs/", 0.2) is False
    threading.Timer(0.3, other.publish, ("jobs/b", b"x")).start()
    begun = time.monotonic()
    assert remote.wait("jobs/", 60) is True and time.monotonic() - begun < 20


def test_waiting_for_a_folder_that_is_not_there_yet(open_dropbox, on_manual_clock):
    remote, other = open_dropbox(), open_dropbox()
    assert remote.wait("jobs/", 100) is False and on_manual_clock.seconds >= 100
    other.publish("jobs/b", b"x")
    assert remote.wait("jobs/", 100) is True


def test_dropbox_asks_to_be_left_alone(open_dropbox, dropbox_server, on_manual_clock, monkeypatch):
    remote = open_dropbox()
    remote.publish("jobs/a", b"x")
    remote.list("jobs/")
    monkeypatch.setattr(dropbox_server, "list_folder_longpoll", lambda argument: {"changes": False, "backoff": 50})
    assert remote.wait("jobs/", 200) is False
    assert count(dropbox_server, "list_folder_longpoll") == 4 and on_manual_clock.seconds == pytest.approx(200)


@pytest.mark.parametrize("kind, error", [("500", Unreachable), ("429", Unreachable), ("silence", Unreachable), ("foreign", Unreachable),
                                         ("cut_request", Unreachable)])
def test_no_call_goes_on_for_ever(open_dropbox, dropbox_server, tmp_path, source, on_manual_clock, kind, error):
    remote = open_dropbox()
    dropbox_server.faults = lambda route: kind
    for ask in (lambda: remote.list(""), lambda: remote.stat("a"), lambda: remote.put("a/x", source, tmp_path / "note"),
                lambda: remote.get("a", tmp_path / "t"), lambda: remote.publish("a", b""), lambda: remote.read("a", 1),
                lambda: remote.delete("a")):
        begun = on_manual_clock.seconds
        with pytest.raises(error):
            ask()
        assert on_manual_clock.seconds - begun <= 5 * 61 + 5 * 120


def test_a_cap_on_bandwidth_makes_small_chunks(open_dropbox, dropbox_server, tmp_path, source, on_manual_clock):
    open_dropbox(bandwidth_bytes=1024).put("a/x", source, tmp_path / "note")
    assert on_manual_clock.seconds == pytest.approx(len(CONTENT) / 1024)
    begun = on_manual_clock.seconds
    open_dropbox(bandwidth_bytes=1024).get("a/x", tmp_path / "t")
    assert on_manual_clock.seconds - begun == pytest.approx(len(CONTENT) / 1024)


def test_nobody_is_asked_before_something_is_wanted(open_dropbox, dropbox_server):
    open_dropbox()
    assert dropbox_server.requests == []


def test_the_refresh_token_goes_to_one_place_only(open_dropbox, dropbox_server):
    open_dropbox().list("")
    assert dropbox_server.requests == ["_oauth2_token", "list_folder"]


def test_permissions_are_named(open_dropbox, dropbox_server, monkeypatch):
    from tests.fake_dropbox import Refused

    def refused(*_):
        raise Refused({".tag": "path", "reason": {".tag": "no_write_permission"}, "upload_session_id": "x"})

    monkeypatch.setattr(dropbox_server, "upload", refused)
    with pytest.raises(NotAllowed, match="no_write_permission") as caught:
        open_dropbox().publish("a", b"x")
    assert isinstance(caught.value, EdgeSleepError) and caught.value.exit_code == 40
