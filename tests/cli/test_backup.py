"""A home to one file and back: the same verdict of `verify` elsewhere, and nothing visible that was not checked."""
from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sleep.checkpoint import backup, integrity, manifest, store
from edge_sleep.checkpoint.restore import restore
from edge_sleep.errors import EdgeSleepError, IntegrityError
from edge_sleep.system import lock
from edge_sleep.system.files import write_json
from edge_sleep.system.home import Home
from tests import micro

ROOT = Path(__file__).parents[2]
SETS = [word for item in micro.SETS for word in ("--set", item)]


def contents(root: Path) -> dict[str, bytes]:
    """Everything that a backup holds, but the database, whose pages may lie otherwise."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "experience.db" and backup.belongs(path.relative_to(root).as_posix())}


def rows(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["home.tar", "home.tar.gz"])
def test_elsewhere_verify_says_the_same(cli, micro_home, tmp_path: Path, name: str) -> None:
    file, there = tmp_path / name, tmp_path / "another board" / "home"
    before = cli("verify", "--all", "--home", micro_home.root, *SETS, "--json").document
    ran = cli("backup", file, "--home", micro_home.root, "--json")
    assert ran.code == 0 and ran.document["bytes"] == file.stat().st_size and ran.document["problems"] == []
    assert ran.document["adapter"] == micro_home.record["candidate"] and ran.document["base"] == micro_home.record["base"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    ran = cli("restore", file, "--home", there, "--json")
    assert ran.code == 0 and ran.document["problems"] == [] and ran.document["adapter"] == micro_home.record["candidate"]
    assert contents(there) == contents(micro_home.root)
    assert rows(there / "experience.db") == rows(micro_home.root / "experience.db")
    assert not (there / "cache").exists() and not (there / "state").exists()
    shutil.rmtree(micro_home.root)
    after = cli("verify", "--all", "--home", there, *SETS, "--json")
    assert after.code == 0 and after.document == before
    assert "of" in cli("restore", file, "--home", tmp_path / "third").out


@pytest.mark.night
def test_a_restored_home_sleeps_on(micro_home, tmp_path: Path) -> None:
    backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    restore(tmp_path / "b.tar", tmp_path / "there")
    micro.write_talk(tmp_path / "talk", [(f"{prompt} Again?", answer) for prompt, answer in micro.TALK], number=2)
    record = micro.night(tmp_path / "there", micro_home.model, tmp_path / "talk")
    assert (record["outcome"], record["parent"]) == ("promoted", micro_home.record["candidate"])


def test_the_plain_tar_is_one_that_tar_reads(micro_home, tmp_path: Path) -> None:
    document = backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    listed = subprocess.run(["tar", "-tf", tmp_path / "b.tar"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert listed == [*document["files"], "backup.json"]
    assert not [name for name in listed if name.startswith(("cache/", "state/"))]


def test_keys_and_the_state_of_a_stopped_night_come_along_with_their_modes(micro_home, tmp_path: Path) -> None:
    home = Home(micro_home.root)
    (home.root / "keys").mkdir(mode=0o700)
    (home.root / "keys" / "identity").write_text("secret")
    (home.root / "keys" / "identity").chmod(0o600)
    write_json(home.night("20990101-030000") / "state" / "plan.json", {"parent": None})
    (home.nights / ".tmp-half").mkdir()
    (home.nights / ".tmp-half" / "x").write_text("x")
    write_json(home.power_intent, {"mode": "of this board"})
    backup.back_up(home, tmp_path / "b.tar", "now")
    there = Home(tmp_path / "there")
    restore(tmp_path / "b.tar", there.root)
    assert there.root.stat().st_mode & 0o777 == 0o700
    assert (there.root / "keys").stat().st_mode & 0o777 == 0o700
    assert (there.root / "keys" / "identity").stat().st_mode & 0o777 == 0o600
    assert (there.night("20990101-030000") / "state" / "plan.json").is_file()
    assert not (there.nights / ".tmp-half").exists() and not there.power_intent.exists()


def test_while_a_conversation_goes_on(cli, micro_home, tmp_path: Path) -> None:
    """Its transcript is replaced and the database grows under the backup's hands: each copy is of one instant."""
    home, done = Home(micro_home.root), threading.Event()
    (home.sessions).mkdir()

    def talk() -> None:
        connection = sqlite3.connect(home.experiences, isolation_level=None, timeout=10)
        connection.execute("CREATE TABLE IF NOT EXISTS pairs (a INTEGER, b INTEGER)")
        number = 0
        while not done.is_set():
            number += 1
            connection.executescript(f"BEGIN; INSERT INTO pairs VALUES ({number}, 0); INSERT INTO pairs VALUES ({number}, 1); COMMIT")
            write_json(home.sessions / "chat.json", {"said": ["word"] * (number % 500), "count": number % 500})
        connection.close()

    thread = threading.Thread(target=talk)
    with lock.hold(home.session_lock, "a conversation"):
        thread.start()
        try:
            for number in range(5):
                assert cli("backup", tmp_path / "b.tar", "--home", home.root).code == 0
                restore(tmp_path / "b.tar", tmp_path / str(number))
        finally:
            done.set()
            thread.join()
    for number in range(5):
        there = Home(tmp_path / str(number))
        [[unpaired]] = sqlite3.connect(there.experiences).execute(
            "SELECT count(*) FROM (SELECT a FROM pairs GROUP BY a HAVING count(*) != 2)").fetchall()
        assert unpaired == 0 and integrity.scan(there).problems == []
        if (there.sessions / "chat.json").is_file():
            said = json.loads((there.sessions / "chat.json").read_text())
            assert len(said["said"]) == said["count"]


def test_while_a_night_runs_there_is_no_backup(cli, micro_home, tmp_path: Path) -> None:
    with lock.hold(Home(micro_home.root).night_lock, "a night"):
        ran = cli("backup", tmp_path / "b.tar", "--home", micro_home.root)
    assert ran.code == 17 and "a night" in ran.err and not (tmp_path / "b.tar").exists()


def test_a_damaged_home_is_written_and_named(cli, micro_home, tmp_path: Path) -> None:
    weights = Home(micro_home.root).adapter(micro_home.record["candidate"]) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    ran = cli("backup", tmp_path / "b.tar", "--home", micro_home.root, "--json")
    assert ran.code == 30 and weights.name in ran.document["problems"][0]
    ran = cli("restore", tmp_path / "b.tar", "--home", tmp_path / "there", "--json")
    assert ran.code == 30 and weights.name in ran.document["problems"][0] and (tmp_path / "there" / "current.json").is_file()


# ---- what is refused -------------------------------------------------------------------------------------

def test_where_a_backup_is_not_written(cli, micro_home, tmp_path: Path) -> None:
    home = micro_home.root
    assert "inside the home" in cli("backup", home / "b.tar", "--home", home).err
    assert cli("backup", tmp_path, "--home", home).code == cli("backup", tmp_path / "no" / "b.tar", "--home", home).code == 2
    (home / "adapters" / "elsewhere").symlink_to(tmp_path)
    ran = cli("backup", tmp_path / "b.tar", "--home", home)
    assert ran.code == 2 and "is a link" in ran.err and not (tmp_path / "b.tar").exists()
    assert cli("backup", tmp_path / "b.tar", "--home", tmp_path / "none").code == 2


def test_a_backup_that_fails_leaves_the_one_before_it(micro_home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.tar").write_bytes(b"the one before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.os, "replace", full)
    with pytest.raises(EdgeSleepError, match="no space left"):
        backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    assert (tmp_path / "b.tar").read_bytes() == b"the one before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("before", ["a file", "a home", "a mark"])
def test_only_into_an_empty_folder(cli, micro_home, tmp_path: Path, before: str) -> None:
    backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    there = tmp_path / "there"
    if before == "a file":
        there.write_text("mine")
    else:
        (there / ("adapters" if before == "a home" else "mine")).mkdir(parents=True)
    ran = cli("restore", tmp_path / "b.tar", "--home", there)
    assert ran.code == 2 and "not an empty folder" in ran.err and there.exists()
    assert not (there / "current.json").exists()


def test_an_empty_folder_will_do(cli, micro_home, tmp_path: Path) -> None:
    backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    (tmp_path / "there").mkdir()
    assert cli("restore", tmp_path / "b.tar", "--home", tmp_path / "there").code == 0
    assert cli("restore", tmp_path / "none.tar", "--home", tmp_path / "fourth").code == 2


def forged(file: Path, members: list[tuple[tarfile.TarInfo, bytes]], listed: dict[str, bytes] | None = None,
           end: Callable[[tarfile.TarFile], None] = lambda tar: None) -> Path:
    """A tar as someone else would make it: its list is right and sealed, whatever the members are."""
    listed = listed if listed is not None else {member.name: content for member, content in members}
    import hashlib
    with tarfile.open(file, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        document = manifest.sealed({"format": 1, "created": "now", "base": None, "adapter": None, "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in listed.items()}})
        last = tarfile.TarInfo("backup.json")
        last.size = len(json.dumps(document))
        tar.addfile(last, io.BytesIO(json.dumps(document).encode()))
        end(tar)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(("members", "said"), [
    ([(member("../outside"), b"x")], "no path inside a home"),
    ([(member("adapters/../../outside"), b"x")], "no path inside a home"),
    ([(member("/etc/outside"), b"x")], "no path inside a home"),
    ([(member("./current.json"), b"x")], "no path inside a home"),
    ([(member("adapters//x"), b"x")], "no path inside a home"),
    ([(member("adapters", tarfile.SYMTYPE, "/etc"), b"")], "no plain file"),
    ([(member("current.json", tarfile.LNKTYPE, "/etc/passwd"), b"")], "no plain file"),
    ([(member("console", tarfile.CHRTYPE), b"")], "no plain file"),
    ([(member("disk", tarfile.BLKTYPE), b"")], "no plain file"),
    ([(member("pipe", tarfile.FIFOTYPE), b"")], "no plain file"),
    ([(member("adapters", tarfile.DIRTYPE), b"")], "no plain file"),
    ([(member("hole", tarfile.GNUTYPE_SPARSE), b"")], "no plain file"),
    ([(member("state/power-intent.json"), b"{}")], "belongs to one board"),
    ([(member("cache/base.safetensors"), b"x")], "belongs to one board"),
    ([(member("experience.db-wal"), b"x")], "belongs to one board"),
    ([(member("a"), b"x"), (member("a"), b"y")], "stands there twice"),
    ([(member("a"), b"x"), (member("a/b"), b"y")], "stands there twice"),
], ids=lambda value: value[-1][0].name if isinstance(value, list) else None)
def test_what_no_backup_holds(tmp_path: Path, members, said) -> None:
    file = forged(tmp_path / "b.tar", members)
    with pytest.raises(IntegrityError, match=said):
        restore(file, tmp_path / "deep" / "there")
    assert not (tmp_path / "outside").exists() and list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(("listed", "said"), [
    ({"a": b"x"}, "in the sizes"), ({"a": b"xxxxx", "b": b""}, "in the sizes"), ({}, "in the sizes"),
    ({"a": b"other"[:3]}, "does not match its sha256")])
def test_what_the_list_does_not_say(tmp_path: Path, listed, said) -> None:
    file = forged(tmp_path / "b.tar", [(member("a"), b"abc")], listed)
    with pytest.raises(IntegrityError, match=said):
        restore(file, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_nothing_stands_behind_the_list(tmp_path: Path) -> None:
    file = forged(tmp_path / "b.tar", [(member("a"), b"abc")], end=lambda tar: tar.addfile(member("b")))
    with pytest.raises(IntegrityError, match="behind its list"):
        restore(file, tmp_path / "there")


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b and then nothing", bytes(10240)])
def test_what_is_no_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(IntegrityError):
        restore(tmp_path / "b.tar", tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_more_than_the_disk_has_is_refused_before_it_is_written(micro_home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(EdgeSleepError, match="1 are free") as caught:
        restore(tmp_path / "b.tar", tmp_path / "there")
    assert caught.value.exit_code == 21 and not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_any_damage_to_the_file_is_found_or_harmless(micro_home, tmp_path: Path, name: str) -> None:
    """Bits flipped, ends cut: an error by name, and then nothing is there; else what was restored is what was backed up."""
    backup.back_up(Home(micro_home.root), tmp_path / name, "now")
    restore(tmp_path / name, tmp_path / "whole")
    whole, content, chance = contents(tmp_path / "whole"), (tmp_path / name).read_bytes(), random.Random(0)
    refused = 0
    for number in range(120):
        damaged = bytearray(content)
        if number % 4:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        else:
            del damaged[chance.randrange(len(damaged)):]
        (tmp_path / name).write_bytes(damaged)
        there = tmp_path / "there"
        try:
            restore(tmp_path / name, there)
        except IntegrityError:
            refused += 1
            assert not there.exists()
        else:
            assert contents(there) == whole
            shutil.rmtree(there)
    assert refused > 60
    assert {path.name for path in tmp_path.iterdir()} == {"home", "whole", name}


# ---- kills -----------------------------------------------------------------------------------------------

KILLED_AT_EVERY_CHANGE = """
import os, signal, sys
from edge_sleep.checkpoint import integrity, restore
from edge_sleep.cli.main import run
number, where, arguments = 0, sys.argv[1], sys.argv[2:]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
while True:
    child = os.fork()
    if child == 0:
        left = [number]
        def watch(event, given):
            if (event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or event == "open" and given[2] & WRITES) \
                    and str(given[0]).startswith(where):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
        sys.addaudithook(watch)
        os._exit(run([word.replace("NUMBER", str(number)) for word in arguments]))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        print(number)
        sys.exit(os.WEXITSTATUS(status))
    number += 1
"""


def killed(where: Path, *arguments: object) -> int:
    """Run a command again and again, killed before its first, then its second change below `where`; how often it was."""
    done = subprocess.run([sys.executable, "-c", KILLED_AT_EVERY_CHANGE, where, *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_a_restore_that_is_killed_leaves_nothing_or_all(micro_home, tmp_path: Path) -> None:
    backup.back_up(Home(micro_home.root), tmp_path / "b.tar", "now")
    last = killed(tmp_path / "there", "restore", tmp_path / "b.tar", "--home", tmp_path / "there" / "NUMBER")
    assert last > 15
    whole = contents(micro_home.root)
    there = [path for path in (tmp_path / "there").iterdir() if not path.name.startswith(".")]
    assert str(last) in {path.name for path in there}
    for path in there:
        assert contents(path) == whole, "visible, and not whole"
    left = [path for path in (tmp_path / "there").iterdir() if path.name.startswith(".tmp-restore-10.")]
    assert left and not (tmp_path / "there" / "10").exists()
    restore(tmp_path / "b.tar", tmp_path / "there" / "10")
    assert contents(tmp_path / "there" / "10") == whole and not left[0].exists()


def test_a_backup_that_is_killed_leaves_the_one_before_it(micro_home, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "b.tar"
    backup.back_up(Home(micro_home.root), file, "before")
    before = contents(micro_home.root)
    assert killed(file.parent, "backup", file, "--home", micro_home.root) >= 5
    restore(file, tmp_path / "there")
    assert contents(tmp_path / "there") == before
    assert [path.name for path in file.parent.iterdir()] == ["b.tar"], "the last start swept what the killed ones left"
    assert not lock.is_held(Home(micro_home.root).night_lock) and store.last_good(Home(micro_home.root))[1] == []


def test_killed_from_outside(micro_home, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(b"the one before")
    child = subprocess.Popen([sys.executable, "-m", "edge_sleep", "backup", tmp_path / "b.tar", "--home", micro_home.root], cwd=ROOT)
    while not list(tmp_path.glob(".tmp-b.tar.*")) and child.poll() is None:
        time.sleep(0.0005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    content = (tmp_path / "b.tar").read_bytes()
    if content != b"the one before":
        restore(tmp_path / "b.tar", tmp_path / "there")
