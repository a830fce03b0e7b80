"""A folder that others use, lose, fill and cut off."""
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_sleep.errors import StorageError, SyncError
from edge_sleep.remote import folder as module
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.remote.protocol import Full, Missing, NotAllowed, Unreachable
from edge_sleep.system.clock import ManualClock

CONTENT = bytes(index * 31 % 256 for index in range(3_000_000))


class Cut(Exception):
    """The process ends here."""


class Counting(ManualClock):
    """Ends a transfer after so many blocks."""

    def __init__(self, blocks: int):
        super().__init__()
        self.blocks = blocks

    def sleep(self, seconds: float) -> None:
        self.blocks -= 1
        if self.blocks < 0:
            raise Cut


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    (tmp_path / "source").write_bytes(CONTENT)
    return tmp_path / "there"


def parts(there: Path) -> list[Path]:
    return list((there / ".partial").iterdir())


def cut(there: Path, tmp_path: Path, blocks: int = 3) -> None:
    with pytest.raises(Cut):
        FolderRemote(there, clock=Counting(blocks), bandwidth_bytes=500_000).put("a/x", tmp_path / "source", tmp_path / "note")


def test_half_a_file_is_seen_by_nobody_and_gone_on_with(there, tmp_path, monkeypatch):
    cut(there, tmp_path)
    assert FolderRemote(there).list("") == [] and [part.stat().st_size for part in parts(there)] == [2_000_000]
    moved = []
    monkeypatch.setattr(module.Bandwidth, "spent", lambda self, count: moved.append(count))
    FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert sum(moved) == 1_000_000 and (there / "a" / "x").read_bytes() == CONTENT
    assert parts(there) == [] and not (tmp_path / "note").exists()


@pytest.mark.parametrize("damage", [lambda part: part.write_bytes(bytes(2_000_000)), lambda part: part.write_bytes(CONTENT + b"more"),
                                    lambda part: part.unlink(), lambda part: part.write_bytes(b"")])
def test_a_part_is_compared_before_it_is_gone_on_with(there, tmp_path, damage):
    """A power cut may leave a length without its content."""
    cut(there, tmp_path)
    damage(parts(there)[0])
    FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert (there / "a" / "x").read_bytes() == CONTENT and parts(there) == []


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"format": 1}', b'{"name": "a/x", "part": "../../source"}',
                                  b'{"name": "a/x", "part": 7}', b"\xff"])
def test_a_note_that_cannot_be_read_is_begun_anew(there, tmp_path, note):
    (tmp_path / "note").write_bytes(note)
    FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert (there / "a" / "x").read_bytes() == CONTENT == (tmp_path / "source").read_bytes()


def test_what_was_abandoned_is_swept_and_what_is_under_way_is_not(there, tmp_path):
    (there / ".partial").mkdir()
    for name, days in (("old", 15), ("young", 13)):
        (there / ".partial" / name).write_bytes(b"x")
        os.utime(there / ".partial" / name, (os.stat(there).st_mtime - days * 86400,) * 2)
    FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert [part.name for part in parts(there)] == ["young"]


def test_a_fetch_is_gone_on_with(there, tmp_path, monkeypatch):
    FolderRemote(there).publish("x", CONTENT)
    with pytest.raises(Cut):
        FolderRemote(there, clock=Counting(3), bandwidth_bytes=500_000).get("x", tmp_path / "t")
    assert (tmp_path / "t.part").stat().st_size == 2_000_000 and not (tmp_path / "t").exists()
    moved = []
    monkeypatch.setattr(module.Bandwidth, "spent", lambda self, count: moved.append(count))
    FolderRemote(there).get("x", tmp_path / "t")
    assert sum(moved) == 1_000_000 and (tmp_path / "t").read_bytes() == CONTENT and not (tmp_path / "t.part").exists()


@pytest.mark.parametrize("part", [b"\0" * 2_000_000, CONTENT + b"more", CONTENT[:999_999] + b"!"])
def test_a_part_of_something_else_is_not_gone_on_with(there, tmp_path, part):
    FolderRemote(there).publish("x", CONTENT)
    (tmp_path / "t.part").write_bytes(part)
    FolderRemote(there).get("x", tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == CONTENT


def test_other_peoples_files_are_not_listed(there):
    remote = FolderRemote(there)
    remote.publish("jobs/a", b"x")
    for name in (".stfolder/x", ".stignore", "jobs/.syncthing.b.tmp", "jobs/a.sync-conflict-20260117-230000-ABCDEFG", "Photos/x.jpg",
                 "jobs/b.1a2b3c4d.partial", "desktop.INI", "a b.txt", "jobs/~lock"):
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_bytes(b"theirs")
    (there / "empty").mkdir()
    assert [entry.name for entry in remote.list("")] == ["jobs/a"]


def test_links_and_pipes_lead_nowhere(there, tmp_path):
    remote = FolderRemote(there)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (there / "file").symlink_to(tmp_path / "secret")
    (there / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(there / "pipe")
    assert remote.list("") == [] and remote.stat("pipe") is None
    for ask in (lambda: remote.read("file", 100), lambda: remote.get("file", tmp_path / "t"), lambda: remote.publish("folder/x", b""),
                lambda: remote.put("folder/x", tmp_path / "source", tmp_path / "note"), lambda: remote.delete("file")):
        with pytest.raises(SyncError, match="is a link"):
            ask()
    with pytest.raises(Missing):
        remote.read("pipe", 100)
    assert list((tmp_path / "elsewhere").iterdir()) == [] and not (tmp_path / "t").exists()


def test_a_folder_may_itself_be_a_link(there, tmp_path):
    (tmp_path / "link").symlink_to(there)
    FolderRemote(tmp_path / "link").publish("a", b"x")
    assert (there / "a").read_bytes() == b"x"


def test_a_disk_that_is_not_there_is_not_an_empty_one(tmp_path):
    (tmp_path / "source").write_bytes(b"x")
    remote = FolderRemote(tmp_path / "stick" / "sync")
    for ask in (lambda: remote.list(""), lambda: remote.stat("a"), lambda: remote.publish("a", b""), lambda: remote.read("a", 1),
                lambda: remote.put("a", tmp_path / "source", tmp_path / "note"), lambda: remote.get("a", tmp_path / "t"),
                lambda: remote.delete("a"), lambda: remote.wait("", 1)):
        with pytest.raises(Unreachable, match="is not there"):
            ask()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize("code, error", [(errno.ENOSPC, Full), (errno.EDQUOT, Full), (errno.EACCES, NotAllowed), (errno.EROFS, NotAllowed),
                                         (errno.EIO, Unreachable), (errno.ESTALE, Unreachable), (errno.ENOTCONN, Unreachable)])
def test_what_its_file_system_says(there, tmp_path, monkeypatch, code, error):
    replace = os.replace

    def fails(source, target):
        if there in Path(target).parents:
            raise OSError(code, os.strerror(code))
        replace(source, target)

    monkeypatch.setattr(module.os, "replace", fails)
    with pytest.raises(error):
        FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert FolderRemote(there).list("") == []
    assert len(parts(there)) == (0 if error is Full else 1), "a full disk is not filled further"
    monkeypatch.undo()
    FolderRemote(there).put("a/x", tmp_path / "source", tmp_path / "note")
    assert parts(there) == [] and (there / "a" / "x").read_bytes() == CONTENT


def test_a_full_home_is_not_a_full_remote(there, tmp_path, monkeypatch):
    FolderRemote(there).publish("x", b"content")

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "replace", fails)
    with pytest.raises(StorageError):
        FolderRemote(there).get("x", tmp_path / "t")


def test_a_clock_of_a_file_system_that_stands_still(there):
    """What replaces a document is another version, even where the file system's clock has gone back."""
    remote = FolderRemote(there)
    before = remote.publish("beat", b"1", replace=True)
    os.utime(there / "beat", ns=(0, 4_000_000_000 * 10 ** 9))
    before = remote.stat("beat")
    assert remote.publish("beat", b"2", replace=True).version != before.version


def test_a_folder_without_fsync(there, monkeypatch):
    def unsupported(folder):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(module, "fsync_folder", unsupported)
    FolderRemote(there).publish("a", b"x")
    assert FolderRemote(there).read("a", 1) == b"x"
