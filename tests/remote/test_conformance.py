"""What every remote does, whatever it is made of."""
from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_sleep.errors import SyncError
from edge_sleep.remote.protocol import Missing, Remote, Taken


def sent(remote: Remote, tmp_path: Path, name: str, content: bytes) -> Path:
    source = tmp_path / "source"
    source.write_bytes(content)
    entry = remote.put(name, source, tmp_path / "note")
    assert (entry.name, entry.size_bytes) == (name, len(content))
    assert not (tmp_path / "note").exists()
    return source


def fetched(remote: Remote, tmp_path: Path, name: str) -> bytes:
    remote.get(name, tmp_path / "down" / "target")
    assert [file.name for file in (tmp_path / "down").iterdir()] == ["target"]
    return (tmp_path / "down" / "target").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 70_000, (1 << 20) + 1])
def test_a_file_goes_there_and_back(remote, tmp_path, size):
    content = bytes(index * 7 % 251 for index in range(size))
    sent(remote, tmp_path, "adapters/a/x.sealed", content)
    assert fetched(remote, tmp_path, "adapters/a/x.sealed") == content
    assert [entry.name for entry in remote.list("")] == ["adapters/a/x.sealed"]
    assert remote.stat("adapters/a/x.sealed") == remote.list("adapters/")[0]


def test_nothing_is_there_at_first(remote, tmp_path):
    assert remote.list("") == remote.list("jobs/") == []
    assert remote.stat("a") is None and remote.stat("a/b") is None
    for ask in (lambda: remote.get("a/b", tmp_path / "t"), lambda: remote.read("a/b", 10)):
        with pytest.raises(Missing):
            ask()
    remote.delete("a/b")
    assert not (tmp_path / "t").exists() and not (tmp_path / "t.part").exists()


def test_a_prefix_is_whole_parts(remote):
    for name in ("jobs/b/1", "jobs/a", "jobs-2/c", "job"):
        remote.publish(name, b"x")
    assert [entry.name for entry in remote.list("jobs/")] == ["jobs/a", "jobs/b/1"]
    assert [entry.name for entry in remote.list("")] == ["job", "jobs-2/c", "jobs/a", "jobs/b/1"]
    assert remote.stat("jobs") is None, "a folder is no blob"
    with pytest.raises(SyncError):
        remote.list("jobs")


def test_what_is_there_with_that_size_is_left(remote, tmp_path):
    sent(remote, tmp_path, "a", b"first")
    before = remote.stat("a")
    sent(remote, tmp_path, "a", b"other")
    assert remote.stat("a") == before and fetched(remote, tmp_path, "a") == b"first"


def test_what_is_there_with_another_size_is_mended(remote, tmp_path):
    sent(remote, tmp_path, "a", b"fir")
    sent(remote, tmp_path, "a", b"first")
    assert fetched(remote, tmp_path, "a") == b"first"


def test_a_name_is_published_once(remote):
    remote.publish("jobs/a/lease-0001.json", b"mine")
    for content in (b"yours", b"mine"):
        with pytest.raises(Taken):
            remote.publish("jobs/a/lease-0001.json", content)
    assert remote.read("jobs/a/lease-0001.json", 100) == b"mine"


def test_of_many_one_wins(remote):
    won, start = [], threading.Barrier(6)

    def one(mine: bytes) -> None:
        start.wait()
        try:
            remote.publish("lease", mine)
            won.append(mine)
        except Taken:
            pass

    threads = [threading.Thread(target=one, args=(b"%d" % index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and remote.read("lease", 10) == won[0]


def test_a_replaced_document_has_another_version(remote):
    versions = {remote.publish("beat", b"%d" % index, replace=True).version for index in range(9)}
    assert len(versions) == 9 and remote.read("beat", 1) == b"8"


def test_a_document_that_is_too_large_is_refused(remote):
    remote.publish("a", b"x" * 11)
    assert remote.read("a", 11) == b"x" * 11
    with pytest.raises(SyncError, match="11 bytes"):
        remote.read("a", 10)


def test_a_deleted_blob_is_gone(remote):
    remote.publish("jobs/a", b"x")
    remote.delete("jobs/a")
    assert remote.stat("jobs/a") is None and remote.list("") == []
    remote.publish("jobs/a", b"y")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", ".x", "a/.x", "a//b", "a/", "A", "a b", "ä", "", "x.partial", "a.", "a\n",
                                  "a/" * 120 + "a"])
def test_no_name_leads_elsewhere(remote, tmp_path, name):
    (tmp_path / "source").write_bytes(b"x")
    for ask in (lambda: remote.put(name, tmp_path / "source", tmp_path / "note"), lambda: remote.get(name, tmp_path / "t"),
                lambda: remote.publish(name, b""), lambda: remote.read(name, 1), lambda: remote.stat(name),
                lambda: remote.delete(name)):
        with pytest.raises(SyncError, match="not a name"):
            ask()


def test_waiting_ends_with_a_change_or_with_the_time(remote):
    remote.list("jobs/")
    assert remote.wait("jobs/", 40) is False
    remote.publish("jobs/a", b"x")
    assert remote.wait("jobs/", 40) is True, "what came since the last look counts"
    assert remote.wait("jobs/", 40) is False


def test_waiting_for_one_prefix_sees_no_other(remote, tmp_path):
    remote.list("jobs/")
    remote.publish("other/a", b"x")
    assert remote.wait("jobs/", 40) is False
