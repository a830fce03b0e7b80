"""`watch`, `timer` and what `status` says of the rhythm; systemctl is a script that keeps what it was told."""
from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_sleep.cli import timer
from edge_sleep.cli.context import Common
from edge_sleep.system import lock, systemctl
from edge_sleep.system.home import Home


def hours_from_now(hours: float) -> str:
    """A time of day in UTC."""
    return (datetime.now(timezone.utc) + timedelta(hours=hours)).strftime("%H:%M")


def windows(dark: bool) -> list[str]:
    """--set options under which it is night now, or day."""
    order = {"dusk": -4, "night": -2, "deep_night": 2, "dawn": 4, "day": 8} if dark else \
        {"dawn": -4, "day": -2, "dusk": 4, "night": 6, "deep_night": 8}
    return [word for name, hours in order.items() for word in ("--set", f"schedule.{name}={hours_from_now(hours)}")] + [
        "--set", "schedule.timezone=UTC", "--set", "schedule.idle_load=1000", "--set", "schedule.settle=0s", "--set",
        "schedule.free_bytes=0"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


def test_status_says_phase_state_and_the_next_night_with_reasons(cli, home: Home) -> None:
    by_day = cli("status", "--home", home.root, *windows(dark=False), "--json").document["rhythm"]
    assert by_day["phase"] == "day" and by_day["metabolic"]["state"] == "WAKE" and by_day["watched"] is False
    assert {reason["name"] for reason in by_day["night"]["reasons"] if not reason["holds"]} >= {"phase", "experiences"}
    coming = datetime.fromisoformat(by_day["night"]["next"]) - datetime.now(timezone.utc)
    assert timedelta(hours=5.9) < coming <= timedelta(hours=6)
    told = cli("status", "--home", home.root, *windows(dark=True)).out
    assert "phase         night" in told and "state         REST" in told
    assert "0 new experiences, a night is worth it from 10 on" in told and "nobody watches" in told


def test_status_says_who_has_the_device_and_which_crisis(cli, home: Home) -> None:
    from edge_sleep.system import state
    from edge_sleep.system.clock import Clock
    state.publish(home, state.Event.TROUBLE, "it grew too hot", "a night", Clock(), "heat")
    told = cli("status", "--home", home.root).out
    assert "state         CRISIS: it grew too hot" in told
    with lock.hold(home.session_lock, "a talk"):
        state.publish(home, state.Event.CLEAR, "cool", "a night", Clock())
        state.publish(home, state.Event.SESSION_BEGINS, "somebody talks", "a talk", Clock())
        told = cli("status", "--home", home.root, *windows(dark=True)).out
    assert "FOCUS: somebody talks" in told and "a talk (pid" in told


def test_a_wrong_schedule_is_a_problem_that_hides_nothing(cli, home: Home) -> None:
    home.config.write_text("schedule:\n  night: 1320\n")
    ran = cli("status", "--home", home.root, "--json")
    assert ran.code == 0 and ran.document["rhythm"] is None and "schedule.night" in ran.document["problems"][0]


def test_a_look_by_day_is_10_and_says_when(cli, home: Home) -> None:
    ran = cli("watch", "--once", "--home", home.root, *windows(dark=False), "--json")
    assert ran.code == 10 and ran.document["exit_code"] == 10 and ran.document["phase"] == "day" and "next may begin" in ran.err
    assert json.loads(home.metabolic.read_text())["state"] == "WAKE" and home.rhythm.is_file()


def test_one_watcher_a_home(cli, home: Home) -> None:
    with lock.hold(home.watch_lock, "a watcher"):
        assert cli("watch", "--once", "--home", home.root).code == 17
        assert cli("status", "--home", home.root, "--json").document["rhythm"]["watched"] is True
    assert cli("status", "--home", home.root, "--json").document["rhythm"]["watched"] is False
    assert cli("watch", "--once", "--home", home.root, *windows(dark=False)).code == 10
    assert cli("status", "--home", home.root, "--json").document["rhythm"]["watched"] is True        # a timer looked lately


def test_transcripts_of_every_night_must_be_there(cli, home: Home, tmp_path: Path) -> None:
    assert cli("watch", "--once", "--home", home.root, "--sessions", tmp_path / "none").code == 2


@pytest.mark.night
def test_a_look_at_night_runs_the_night_and_ends_as_it_ended(cli, micro_home, tmp_path: Path) -> None:
    from tests import micro
    home = Home(micro_home.root)
    sets = [word for item in [*micro.SETS, f"companion.model={micro_home.model}"] for word in ("--set", item)]
    micro.write_talk(tmp_path / "more", [(f"What of {word}?", f"The {word} is kept in the harbour, beside the old boat.")
                                           for word in ("rope", "sail", "oar", "net", "lamp")], 7)
    assert cli("ingest", tmp_path / "more", "--home", home.root, *sets).code == 0
    # The night that made this home was minutes ago, which makes it tonight's: it is moved to two days before.
    file = next(home.nights.glob("*/record.json"))
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {key: (datetime.fromisoformat(record[key]) - timedelta(days=2)).isoformat()
                                         for key in ("started", "ended")}))
    ran = cli("watch", "--once", "--home", home.root, *sets, *windows(dark=True), "--set", "schedule.apart=0s", "--json")
    records = sorted(home.nights.glob("*/record.json"))
    assert len(records) == 2, [reason for reason in ran.document["night"]["reasons"] if not reason["holds"]]
    assert ran.code == json.loads(records[-1].read_text())["exit_code"]
    again = cli("watch", "--once", "--home", home.root, *sets, *windows(dark=True), "--set", "schedule.apart=0s", "--json")
    assert again.code == 10 and "once" in [reason["name"] for reason in again.document["night"]["reasons"] if not reason["holds"]]
    assert json.loads(home.metabolic.read_text())["state"] == "REST"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that says yes and keeps what it was told; the folders of units lie in tmp_path."""
    log, programs = tmp_path / "told", tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f"#!/bin/sh\necho \"$@\" >> {log}\ncase $* in *is-active*) echo active;; *is-enabled*) echo enabled;; esac\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(systemctl, "SYSTEM_FOLDER", tmp_path / "system")
    return log


def test_install_status_remove(cli, home: Home, manager: Path, tmp_path: Path) -> None:
    ran = cli("timer", "install", "--user", "--home", home.root, "--set", "train.epochs=4", "--json")
    assert ran.code == 0 and ran.document["enabled"] == "edge-sleep-home.timer" and ran.document["started"] is True
    folder = tmp_path / "config" / "systemd" / "user"
    assert {file.name for file in folder.iterdir()} == {"edge-sleep-home.timer", "edge-sleep-home.service", "edge-sleep-home-failed@.service"}
    assert f"--home {home.root} --set train.epochs=4" in (folder / "edge-sleep-home.service").read_text()
    assert manager.read_text().splitlines() == ["--user daemon-reload", "--user enable edge-sleep-home.timer",
                                                "--user restart edge-sleep-home.timer"]
    status = cli("timer", "status", "--home", home.root, "--json")
    assert status.code == 0 and {item["unit"]: item["active"] for item in status.document["units"]} == {
        "edge-sleep-home.timer": "active", "edge-sleep-home.service": "active"}
    assert "phase" in cli("timer", "status", "--home", home.root).out
    assert cli("timer", "remove", "--home", home.root).code == 0
    assert not list(folder.iterdir()) and "disable --now edge-sleep-home.timer" in manager.read_text()
    assert cli("timer", "remove", "--home", home.root).code == 10 == cli("timer", "status", "--home", home.root).code


def test_a_service_takes_the_place_of_the_timer(cli, home: Home, manager: Path, tmp_path: Path) -> None:
    assert cli("timer", "install", "--system", "--as", "root", "--home", home.root).code == 0
    ran = cli("timer", "install", "--system", "--as", "root", "--watch", "--home", home.root, "--json")
    assert ran.code == 0 and ran.document["enabled"] == "edge-sleep-home.service"
    assert {file.name for file in (tmp_path / "system").iterdir()} == {"edge-sleep-home.service", "edge-sleep-home-failed@.service"}
    assert "disable --now edge-sleep-home.timer" in manager.read_text()
    assert "User=root" in (tmp_path / "system" / "edge-sleep-home.service").read_text()


def test_without_systemd_it_says_what_to_type(cli, home: Home, manager: Path, monkeypatch) -> None:
    (manager.parent / "bin" / "systemctl").write_text("#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n")
    ran = cli("timer", "install", "--user", "--home", home.root)
    assert ran.code == 22 and "not been booted" in ran.out and "systemctl --user daemon-reload" in ran.out
    (manager.parent / "bin" / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(manager.parent / "bin"))
    assert "does not run here" in cli("timer", "install", "--user", "--home", home.root).out


@pytest.mark.parametrize("arguments", [["--user", "--as", "root"], ["--system", "--as", "nobody-of-this-name"]])
def test_whom_it_runs_as_is_checked(cli, home: Home, manager: Path, arguments: list[str]) -> None:
    assert cli("timer", "install", *arguments, "--home", home.root).code == 2


@pytest.mark.parametrize("sets, network, loopback, settings", [
    ([], False, False, False), (["schedule.webhook=http://x"], True, False, False), (["companion.allow_download=true"], True, False, False),
    (["power.mode=25W"], False, False, True), (["neighbours.ollama=true"], False, True, False),
    (["neighbours.ollama=http://localhost:1"], False, True, False), (["neighbours.ollama=http://[::1]:1"], False, True, False),
    (["neighbours.ollama=http://localhost.example:1"], True, False, False), (["neighbours.units=[llm]"], False, False, False)])
def test_the_sandbox_follows_the_configuration(home: Home, sets: list[str], network: bool, loopback: bool, settings: bool) -> None:
    from edge_sleep import config
    plan = timer.planned(home, Common(home.root), config.load(None, sets), False, "root")
    assert (plan.network, plan.loopback, plan.settings) == (network, loopback, settings)
    assert any(item.startswith("PYTHONPATH=") for item in plan.environment)            # this is a checkout


def test_a_failed_unit_is_said_out_loud_once_a_day(cli, home: Home, tmp_path: Path) -> None:
    failed = ("timer", "failed", "edge-sleep", "--home", home.root, "--json", "--set")
    assert cli(*failed, "schedule.command=exit 3").document["problems"] == ["schedule.command ended with 3"]
    command = f"schedule.command=cat >> {tmp_path}/told; echo $EDGE_SLEEP_ALARM >> {tmp_path}/told"
    assert cli(*failed, command).document == {"told": ["log", "command"], "problems": []}
    assert cli(*failed, command).document == {"told": ["log"], "problems": []}
    assert (tmp_path / "told").read_text().endswith("says why\nfailed_unit\n") and len((tmp_path / "told").read_text().splitlines()) == 2
