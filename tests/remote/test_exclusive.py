"""Exclusive names where hard links do not work, and where renaming cannot be told to replace nothing either."""
from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from edge_sleep.remote import exclusive
from edge_sleep.remote.exclusive import placed
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.remote.protocol import NotAllowed, Taken


def no_links(*_, **__):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["link", "rename", "lock"])
def way(request, monkeypatch):
    if request.param != "link":
        monkeypatch.setattr(exclusive.os, "link", no_links)
    if request.param == "lock":
        monkeypatch.setattr(exclusive, "_renamed", lambda *_: None)
    return request.param


def test_each_way_places_once(way, tmp_path):
    parts = [tmp_path / "one", tmp_path / "two"]
    for part in parts:
        part.write_text(part.name)
    assert placed(parts[0], tmp_path / "target", tmp_path / "lock") is True
    assert placed(parts[1], tmp_path / "target", tmp_path / "lock") is False
    assert (tmp_path / "target").read_text() == "one"


def test_each_way_publishes_once_and_leaves_nothing(way, tmp_path):
    remote = FolderRemote(tmp_path)
    remote.publish("jobs/lease", b"mine")
    with pytest.raises(Taken):
        remote.publish("jobs/lease", b"yours")
    assert remote.read("jobs/lease", 10) == b"mine"
    left = {path.name for path in (tmp_path / ".partial").iterdir()}
    assert left == ({"lock"} if way == "lock" else set())


def _publish(root: str, way: str, index: int, start, won) -> None:
    if way != "link":
        exclusive.os.link = no_links
    if way == "lock":
        exclusive._renamed = lambda *_: None
    start.wait()
    for turn in range(20):
        try:
            FolderRemote(Path(root)).publish(f"lease-{turn}", b"%d" % index)
            won.put((turn, index))
        except Taken:
            pass


@pytest.mark.parametrize("kind", ["link", "rename", "lock"])
def test_of_several_processes_one_wins_each_name(kind, tmp_path):
    fork = multiprocessing.get_context("fork")
    start, won = fork.Barrier(3), fork.Queue()
    workers = [fork.Process(target=_publish, args=(str(tmp_path), kind, index, start, won)) for index in range(3)]
    for worker in workers:
        worker.start()
    winners = dict(won.get(timeout=30) for _ in range(20))
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert won.empty() and sorted(winners) == list(range(20))
    assert {turn: int((tmp_path / f"lease-{turn}").read_bytes()) for turn in range(20)} == winners


def test_a_link_that_was_made_though_the_answer_says_otherwise(tmp_path, monkeypatch):
    """NFS repeats a request; the second answer says that the name is there, put there by the first."""
    link = os.link

    def repeated(*arguments):
        link(*arguments)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(exclusive.os, "link", repeated)
    FolderRemote(tmp_path).publish("lease", b"mine")
    with pytest.raises(Taken):
        FolderRemote(tmp_path).publish("lease", b"yours")


def test_another_error_is_no_way_to_go_on(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(exclusive.os, "link", denied)
    with pytest.raises(NotAllowed, match="does not let"):
        FolderRemote(tmp_path).publish("lease", b"mine")
    assert list((tmp_path / ".partial").iterdir()) == []
