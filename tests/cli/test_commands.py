"""Each command on a home that has had one real micro-night, and on one that has had none."""
from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from edge_sleep.system import lock
from edge_sleep.system.home import Home
from tests import micro


def sets(*more: str) -> list[str]:
    return [word for item in (*micro.SETS, *more) for word in ("--set", item)]


# ---- a home that is not there ----------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, code, document", [
    (["current"], 0, None), (["report"], 10, None), (["experiences"], 0, {"items": []})])
def test_nothing_yet(cli, tmp_path: Path, arguments: list[str], code: int, document: object) -> None:
    ran = cli(*arguments, "--home", tmp_path / "none", "--json")
    assert (ran.code, ran.document) == (code, document)
    assert cli(*arguments, "--home", tmp_path / "none").code == code
    assert not (tmp_path / "none").exists()


def test_status_of_nothing(cli, tmp_path: Path) -> None:
    ran = cli("status", "--home", tmp_path / "none", "--json")
    assert ran.code == 0 and ran.document["exists"] is False
    assert "edge-sleep night" in cli("status", "--home", tmp_path / "none").out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("arguments", [["verify"], ["rollback", "base"], ["session", "end"],
                                       ["experiences", "show", "0123456789abcdef"]])
def test_needs_a_home(cli, tmp_path: Path, arguments: list[str]) -> None:
    ran = cli(*arguments, "--home", tmp_path / "none", "--json")
    assert ran.code == 2 and "no home" in ran.document["error"]["message"]
    assert not (tmp_path / "none").exists()


def test_the_environment_names_the_home(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SLEEP_HOME", str(tmp_path / "named"))
    assert cli("status", "--json").document["home"] == str(tmp_path / "named")


# ---- reading ---------------------------------------------------------------------------------------------

def test_ingest_then_experiences(cli, tmp_path: Path, micro_home) -> None:
    home, more = tmp_path / "home2", tmp_path / "more"
    micro.write_talk(more, [("What colour is the door of the mill?", "The door of the mill is green, with a brass bell.")])
    (more / "rubbish.json").write_text("{")
    ran = cli("ingest", micro_home.sessions, more, "--home", home, "--set", f"companion.model={micro_home.model}", "--json")
    assert ran.code == 0
    assert ran.document["new"] == ran.document["exchanges"] == len(micro.TALK) + 1
    assert sum(ran.document["files"]["refused"].values()) == 1
    assert {"files", "exchanges", "new", "duplicates", "experiences", "quarantined"} <= set(ran.document)

    items = cli("experiences", "--home", home, "--search", "ferns", "--json").document["items"]
    assert [item["prompt"] for item in items] == ["Who waters the ferns?"]
    assert set(items[0]) == {"id", "prompt", "response", "salience", "status", "reason", "session", "trained_in"}
    assert set(items[0]["salience"]) == {"surprise", "novelty", "arousal", "reward", "conflict", "total"}
    identity = items[0]["id"]

    ran = cli("experiences", "quarantine", identity, "--reason", "not true", "--home", home, "--json")
    assert (ran.document["status"], ran.document["reason"]) == ("quarantined", "not true")
    assert cli("experiences", "--home", home, "--status", "quarantined", "--json").document["items"][0]["id"] == identity
    assert cli("experiences", "--home", home, "release", identity, "--json").document["status"] == "kept"
    assert "Grandfather" in cli("experiences", "show", identity[:10], "--home", home).out
    assert cli("experiences", "show", "ffffffffffffffff", "--home", home).code == 2

    lines = cli("experiences", "--export", "jsonl", "--home", home).out.splitlines()
    assert len([json.loads(line) for line in lines]) == len(micro.TALK) + 1
    assert len(cli("experiences", "--limit", "2", "--home", home, "--json").document["items"]) == 2


# ---- nights ----------------------------------------------------------------------------------------------

@pytest.mark.night
def test_a_night_from_the_command_line(cli, tmp_path: Path, micro_home) -> None:
    """`--sessions A B` works, the record is the answer, progress stays on stderr; the second night has nothing to do."""
    home, second = tmp_path / "fresh", tmp_path / "second"
    second.mkdir()
    command = ["night", "--home", home, "--sessions", micro_home.sessions, second, *sets()]
    ran = cli(*command, "--model", micro_home.model, "--json")
    assert ran.code == ran.document["exit_code"] == 0
    assert ran.document["outcome"] == "promoted"
    assert len(ran.out.splitlines()) == 1
    assert "train" in ran.err and "step" in ran.err
    assert json.loads((home / "nights" / ran.document["night"] / "record.json").read_text())["outcome"] == "promoted"

    again = cli(*command)                      # the base is remembered: no --model
    assert again.code == 10 and "nothing_to_do" in again.out


def test_a_night_in_a_home_of_another_base(cli, micro_home, tmp_path: Path) -> None:
    other = micro.make_model(tmp_path / "other", seed=7)
    ran = cli("night", "--home", micro_home.root, "--model", other, "--sessions", micro_home.sessions)
    assert ran.code == 2 and "new base is a new home" in ran.err


def test_dry_run_changes_nothing(cli, micro_home) -> None:
    before = (micro_home.root / "current.json").read_bytes()
    nights = sorted(os.listdir(micro_home.root / "nights"))
    ran = cli("night", "--home", micro_home.root, "--dry-run", "--force", *sets(), "--json")
    assert ran.code == ran.document["exit_code"]
    assert (micro_home.root / "current.json").read_bytes() == before
    assert [name for name in nights if not (micro_home.root / "nights" / name).is_dir()] == []


def test_two_nights_at_once(cli, micro_home) -> None:
    with lock.hold(Home(micro_home.root).night_lock, "a night"):
        ran = cli("night", "--home", micro_home.root, *sets())
        assert ran.code == 17 and f"pid {os.getpid()}" in ran.err
        assert cli("rollback", "base", "--home", micro_home.root).code == 17


def test_plan(cli, micro_home) -> None:
    ran = cli("plan", "--home", micro_home.root, *sets(), "--json")
    assert ran.code == 0
    assert {"where", "peak_bytes", "seconds", "choices"} <= set(ran.document)
    assert all({"name", "value", "reason"} <= set(choice) for choice in ran.document["choices"])
    assert "profile" in cli("plan", "--home", micro_home.root, *sets()).out


# ---- afterwards ------------------------------------------------------------------------------------------

def test_status_current_report(cli, micro_home) -> None:
    home, record = micro_home.root, micro_home.record
    status = cli("status", "--home", home, "--json").document
    assert status["last_night"]["outcome"] == record["outcome"] == "promoted"
    assert status["current"] == json.loads((home / "current.json").read_text())
    assert status["interrupted"] is None and status["locks"] == {"night": None, "session": None}
    assert status["experiences"]["kept"] == len(micro.TALK) and status["disk"]["free_bytes"] > 0
    assert record["night"] in cli("status", "--home", home).out

    assert cli("current", "--home", home, "--json").document == status["current"]
    assert record["candidate"] in cli("current", "--home", home).out

    assert cli("report", "--home", home, "--json").document == json.loads(
        (home / "nights" / record["night"] / "record.json").read_text())
    assert record["night"] in cli("report", record["night"][:8], "--home", home).out
    assert cli("report", "1999", "--home", home).code == 2


def test_an_interrupted_night_is_shown(cli, micro_home) -> None:
    state = micro_home.root / "nights" / "99991231-235959" / "state"
    state.mkdir(parents=True)
    (state / "plan.json").write_text("{}")
    found = cli("status", "--home", micro_home.root, "--json").document["interrupted"]
    assert found["night"] == "99991231-235959" and found["resumable"] and found["outcome"] is None
    assert "goes on from it" in cli("status", "--home", micro_home.root).out


def test_a_damaged_pointer(cli, micro_home) -> None:
    (micro_home.root / "current.json").write_text("{")
    assert cli("current", "--home", micro_home.root).code == 30
    ran = cli("status", "--home", micro_home.root, "--json")
    assert ran.code == 0 and "current.json" in ran.document["problems"][0]
    assert cli("rollback", "base", "--home", micro_home.root).code == 0
    assert cli("current", "--home", micro_home.root).code == 0


def test_rollback_and_back(cli, micro_home) -> None:
    candidate = micro_home.record["candidate"]
    ran = cli("rollback", "base", "--home", micro_home.root, "--json")
    assert ran.code == 0 and ran.document["adapter"] is None
    assert cli("rollback", candidate, "--home", micro_home.root, "--json").document["adapter"]["id"] == candidate
    assert cli("rollback", "0000", "--home", micro_home.root).code == 2


@pytest.mark.night
def test_verify(cli, micro_home) -> None:
    ran = cli("verify", "--home", micro_home.root, *sets(), "--json")
    assert ran.code == 0 and ran.document["ok"] and ran.document["differs_from_base"] > 0
    weights = micro_home.root / "adapters" / micro_home.record["candidate"] / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    ran = cli("verify", "--home", micro_home.root, *sets(), "--json")
    assert ran.code == 30 and not ran.document["ok"] and ran.document["problems"]


# ---- talking ---------------------------------------------------------------------------------------------

@pytest.mark.night
def test_chat_writes_what_ingest_reads(cli, micro_home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What is the name of the boat?\n\n/who\nWho waters the ferns?\n/quit\nlost\n"))
    ran = cli("chat", "--home", micro_home.root, *sets(), "--json")
    assert ran.code == 0 and ran.document["exchanges"] == 2
    written = json.loads(Path(ran.document["transcript"]).read_text())
    assert written["edge_sleep"]["adapter"] == micro_home.record["candidate"]
    assert [turn["speaker"] for turn in written["conversation"]] == ["user", "SAGE"] * 2
    assert not lock.is_held(Home(micro_home.root).session_lock)

    found = cli("ingest", ran.document["transcript"], "--home", micro_home.root, "--json").document
    assert found["files"]["read"] == 1 and found["exchanges"] == 2


def test_what_was_said_before_an_interruption_is_kept(cli, parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello there\nstop\n"))
    ran = cli("chat", "--home", tmp_path / "home")
    assert ran.code == 130 and "I heard hello there" in ran.out
    [file] = (tmp_path / "home" / "sessions").iterdir()
    assert [turn["text"] for turn in json.loads(file.read_text())["conversation"]] == ["hello there", "I heard hello there"]


def test_two_conversations_at_once(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.cli import context
    from edge_sleep.config import Config
    monkeypatch.setattr(context, "configure", lambda *_, **__: Config())
    home = Home(tmp_path / "home").make()
    with lock.hold(home.session_lock, "a conversation (chat)"):
        assert cli("chat", "--home", home.root).code == 17
