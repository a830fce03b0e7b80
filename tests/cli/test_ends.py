"""Every way a command ends becomes its exit code, one clear text, and with --json one document."""
from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sleep import errors
from edge_sleep.cli import output, status

KINDS = [kind for kind in vars(errors).values()
         if isinstance(kind, type) and issubclass(kind, errors.EdgeSleepError) and kind is not errors.ConfigError]


def _raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def examine(home: object) -> dict:
        raise error
    monkeypatch.setattr(status, "examine", examine)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_of_ours(cli, monkeypatch: pytest.MonkeyPatch, kind: type[errors.EdgeSleepError]) -> None:
    _raise(monkeypatch, kind("asked for tea, found none", "boil water"))
    ran = cli("status", "--json")
    assert ran.code == kind.exit_code
    assert ran.err == "edge-sleep: asked for tea, found none\n  do: boil water\n"
    assert ran.document == {"error": {"exit_code": int(kind.exit_code), "message": "asked for tea, found none",
                                      "do": "boil water"}}
    assert cli("status").out == ""


@pytest.mark.parametrize("error, code", [
    (KeyboardInterrupt(), 130), (MemoryError(), 20), (OSError(errno.ENOSPC, "No space left on device"), 21),
    (OSError(errno.EROFS, "Read-only file system"), 21), (OSError(errno.EIO, "Input/output error"), 21), (PermissionError(13, "no"), 21), (sqlite3.OperationalError("database or disk is full"), 21),
    (sqlite3.DatabaseError("file is not a database"), 30), (BrokenPipeError(), 141)])
def test_an_error_from_below(cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    _raise(monkeypatch, error)
    assert cli("status").code == code


@pytest.mark.parametrize("error", [ValueError("x < 0"), KeyError("home"), OSError(errno.ENOTDIR, "Not a directory")])
def test_a_bug_keeps_its_traceback_in_a_file(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                             error: Exception) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _raise(monkeypatch, error)
    ran = cli("status", "--json")
    assert ran.code == 50 and "Traceback" not in ran.err
    [file] = tmp_path.glob("edge-sleep-bug-*.txt")
    assert str(file) in ran.err and str(file) in ran.document["error"]["do"]
    assert "Traceback" in file.read_text()


@pytest.mark.parametrize("arguments", [
    ["nope"], ["night", "--budget"], ["status", "--colour"], ["ingest"], ["experiences", "--limit", "0"],
    ["experiences", "--status", "lost"], ["session", "nope"], ["rollback", "a", "b"]])
def test_usage(cli, arguments: list[str]) -> None:
    ran = cli(*arguments, "--json")
    assert ran.code == 2 and ran.document["error"]["exit_code"] == 2
    assert ran.err.startswith("edge-sleep: ")


def test_no_command_shows_the_help(cli) -> None:
    ran = cli()
    assert ran.code == 2 and ran.err.startswith("Usage:")


@pytest.mark.parametrize("arguments, named", [
    (["--budget", "55"], "--budget"), (["--set", "train.epochs"], "--set train.epochs"),
    (["--set", "train.epochs=many"], "train.epochs"), (["--set", "trane.epochs=1"], "trane"),
    (["--profile", "nonesuch"], "nonesuch"), (["--probes", "/nonexistent.yaml"], "/nonexistent.yaml"),
    (["--sessions", "/nonexistent"], "/nonexistent"), (["--sessions", ".", "/nonexistent2"], "/nonexistent2")])
def test_a_mistake_is_named_as_it_was_typed(cli, tmp_path: Path, arguments: list[str], named: str) -> None:
    ran = cli("night", "--home", tmp_path / "home", *arguments)
    assert ran.code == 2 and named in ran.err and "do:" in ran.err


def test_a_home_that_is_a_file(cli, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert cli("night", "--home", tmp_path / "home").code == 21


def test_a_model_that_is_not_there(cli, tmp_path: Path) -> None:
    assert cli("plan", "--home", tmp_path / "home", "--model", tmp_path / "none").code == 23


def test_json_is_strict() -> None:
    assert output.plain({"a": float("nan"), 1: (float("inf"), Path("/x"), True, None)}) == {"a": None,
                                                                                           "1": [None, "/x", True, None]}


def test_a_reader_that_goes_away_is_no_bug(tmp_path: Path) -> None:
    """`edge-sleep ... | head -0`: the pipe is closed before the answer comes."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "edge_sleep", "status", "--home", str(tmp_path / "none")],
                          stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert "Traceback" not in done.stderr and done.returncode not in (0, 50)


LEAVING = """
import atexit, sys, types
from edge_sleep.cli.main import leave
class Library(types.ModuleType):
    def __del__(self):
        sys.__stderr__.write("taken apart ")
sys.modules[sys.argv[1]] = Library(sys.argv[1])
atexit.register(lambda: sys.stderr.write("tidied "))
print("the answer", end="")
leave(7)
"""


@pytest.mark.parametrize("library, said", [("torch", "tidied "), ("sheet", "tidied taken apart ")])
def test_the_end_says_all_and_waits_for_no_library(library: str, said: str) -> None:
    """A conversation waits for the memory of a night that has torch in it."""
    done = subprocess.run([sys.executable, "-c", LEAVING, library], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "the answer", said)


def test_an_answer_that_nobody_takes_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", LEAVING, "torch"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"})
    assert done.returncode == 120 and "No space left" in done.stderr
