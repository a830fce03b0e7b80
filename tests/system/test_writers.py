"""A file that a process has open for writing is found, by whatever name; one that is read, or was closed, is not."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_sleep.data.session import read_file, read_paths
from edge_sleep.data.shapes import Roles
from edge_sleep.system import writers

NAMES = (("SAGE",), ("user",))
TALK = '{"conversation": [{"speaker": "user", "text": "Who are you?"}, {"speaker": "SAGE", "text": "I am SAGE."}]}'


@pytest.fixture
def holder():
    """Lets another process open a file in a mode, until the test lets go of it."""
    children = []

    def hold(path: Path, mode: str) -> subprocess.Popen:
        child = subprocess.Popen([sys.executable, "-S", "-E", "-c", f"f = open({str(path)!r}, {mode!r}); print(1, flush=True); input()"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline()
        children.append(child)
        return child

    yield hold
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("mode, written", [("a", True), ("r+", True), ("r", False), ("rb", False)])
def test_who_writes(tmp_path: Path, holder, mode: str, written: bool) -> None:
    file, link = tmp_path / "talk.json", tmp_path / "linked.json"
    file.write_text(TALK)
    link.symlink_to(file)
    child = holder(file, mode)
    found = writers.being_written((".json", ".jsonl"))
    assert (writers.identity(file) in found) is written is (writers.identity(link) in found)
    assert writers.identity(file) not in writers.being_written((".txt",))
    child.communicate("\n")
    assert writers.identity(file) not in writers.being_written((".json",))


def test_it_is_refused_by_name_and_taken_when_it_is_closed(tmp_path: Path, holder) -> None:
    (tmp_path / "open.json").write_text(TALK)
    (tmp_path / "closed.json").write_text(TALK.replace("Who", "What"))
    child = holder(tmp_path / "open.json", "a")
    reading = read_paths([tmp_path], *NAMES)
    assert reading.files_read == 1 and [(refusal.path.name, refusal.reason) for refusal in reading.refused] == [("open.json", "being_written")]
    child.communicate("\n")
    assert read_paths([tmp_path], *NAMES).files_read == 2


def test_what_changes_while_it_is_read_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    from edge_sleep.data import session
    file = tmp_path / "talk.json"
    file.write_text(TALK)
    read = session.read_documents

    def meanwhile(path: Path):
        found = read(path)
        path.write_text(TALK.replace("Who", "And who"))
        return found

    monkeypatch.setattr(session, "read_documents", meanwhile)
    assert [refusal.reason for refusal in read_file(file, Roles.of(*NAMES)).refused] == ["being_written"]


def test_processes_that_end_or_belong_to_others_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()                                     # gone between listing and looking
    (tmp_path / "13" / "fd").mkdir(parents=True)
    (tmp_path / "13" / "fd" / "4").symlink_to("/nonexistent/talk.json")
    (tmp_path / "13" / "fdinfo").mkdir()
    (tmp_path / "13" / "fdinfo" / "4").write_text("pos:\t0\nflags:\t0100001\n")
    (tmp_path / "14" / "fd").mkdir(parents=True)
    (tmp_path / "14" / "fd" / "5").symlink_to(tmp_path / "talk.json")
    (tmp_path / "14" / "fdinfo").mkdir()
    (tmp_path / "14" / "fdinfo" / "5").write_text("pos:\t0\nflags:\t0100002\n")
    (tmp_path / "talk.json").write_text(TALK)
    assert writers.being_written((".json",), tmp_path) == {writers.identity(tmp_path / "talk.json")}
    assert writers.being_written((".json",), tmp_path, myself=14) == set()
