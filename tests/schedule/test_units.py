"""The units: what they promise systemd, in every combination; read back by a parser, and by systemd where it is here."""
from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sleep.errors import Outcome
from edge_sleep.schedule import units
from edge_sleep.schedule.units import Plan

HOME = Path("/srv/companions/heron")
PLAN = Plan(HOME, "edge-sleep", ("/usr/bin/python3", "-m", "edge_sleep"), ("--home", str(HOME)))
PLANS = {"ollama": replace(PLAN, user="root", loopback=True)} | {f"{'watch' if watches else 'timer'}-{'system' if user else 'user'}-{'network' if network else 'alone'}":
         replace(PLAN, watches=watches, user=user, network=network)
         for watches, user, network in itertools.product((False, True), (None, "root"), (False, True))}


def keys(text: str) -> dict[str, dict[str, list[str]]]:
    """Section -> key -> its values."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = {}
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[A-Z][A-Za-z0-9]+", key), line
            found[section].setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", PLANS)
def test_every_named_outcome_but_a_failure_is_a_success(name: str) -> None:
    service = keys(units.units(PLANS[name])["edge-sleep.service"])["Service"]
    codes = {int(code) for code in service["SuccessExitStatus"][0].split()}
    named = {int(outcome.exit_code) for outcome in Outcome} - {0}
    assert codes == (named - {20, 30, 50}) | {17, 143}                   # what does not fit, is damaged or broke is a failure
    assert service["KillMode"] == ["mixed"] and int(service["TimeoutStopSec"][0]) > 120


@pytest.mark.parametrize("name", PLANS)
def test_what_starts_what(name: str) -> None:
    plan, written = PLANS[name], units.units(PLANS[name])
    main = keys(written["edge-sleep.service"])
    assert main["Unit"]["OnFailure"] == ["edge-sleep-failed@%N.service"] and "edge-sleep-failed@.service" in written
    run = main["Service"]["ExecStart"][0]
    if plan.watches:
        assert set(written) == {"edge-sleep.service", "edge-sleep-failed@.service"} and "--once" not in run
        assert main["Service"]["Type"] == ["notify"] and int(main["Service"]["WatchdogSec"][0]) > 60
        assert main["Install"]["WantedBy"] == ["multi-user.target" if plan.system else "default.target"]
    else:
        assert run.endswith("watch --once --home /srv/companions/heron") and main["Service"]["Type"] == ["oneshot"]
        assert float(main["Service"]["TimeoutStartSec"][0]) > plan.budget_seconds
        timer = keys(written["edge-sleep.timer"])
        assert timer["Timer"]["Unit"] == ["edge-sleep.service"] and "OnCalendar" not in timer["Timer"]
        assert timer["Install"]["WantedBy"] == ["timers.target"]
    assert units.enabled(plan) in written


@pytest.mark.parametrize("name", PLANS)
def test_a_night_is_let_in_only_to_what_it_needs(name: str) -> None:
    plan = PLANS[name]
    for text in units.units(plan).values():
        service = keys(text).get("Service")
        if service is None:
            continue
        assert service["NoNewPrivileges"] == ["yes"]
        assert service["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6" if plan.network or plan.loopback else "AF_UNIX"]
        assert ("PrivateNetwork" in service) == (plan.system and not plan.network and not plan.loopback)
        assert ("ProtectSystem" in service) == plan.system and ("ReadWritePaths" in service) == plan.system
        # CUDA needs its nodes and writable code; ProtectClock would close every device.
        assert not {"PrivateDevices", "DevicePolicy", "DeviceAllow", "MemoryDenyWriteExecute", "ProtectClock"} & set(service)


@pytest.mark.parametrize("user", [None, "root"])
def test_a_worker_is_a_service_that_stays(user: str | None) -> None:
    plan = replace(PLAN, name="edge-sleep-worker", worker=True, user=user, remotes=(Path("/mnt/mailbox"),))
    written = units.units(plan)
    assert set(written) == {"edge-sleep-worker.service", "edge-sleep-worker-failed@.service"}
    assert units.enabled(plan) == "edge-sleep-worker.service"
    main = keys(written["edge-sleep-worker.service"])
    assert main["Service"]["ExecStart"][0].endswith("worker --home /srv/companions/heron")
    assert main["Service"]["Type"] == ["notify"] and main["Service"]["Restart"] == ["always"] and "WatchdogSec" not in main["Service"]
    assert main["Install"]["WantedBy"] == ["multi-user.target" if user else "default.target"]
    assert not user or main["Service"]["ReadWritePaths"] == ["/srv/companions/heron", "-/mnt/mailbox"]


def test_who_talks_with_ollama_here_reaches_this_machine_alone() -> None:
    def service(**more: bool) -> dict[str, list[str]]:
        return keys(units.units(replace(PLAN, user="root", **more))["edge-sleep.service"])["Service"]

    here = service(loopback=True)
    assert (here["IPAddressDeny"], here["IPAddressAllow"], here["RestrictAddressFamilies"]) == (["any"], ["localhost"], ["AF_UNIX AF_INET AF_INET6"])
    assert "PrivateNetwork" not in here and "IPAddressDeny" not in service(loopback=True, network=True)


def test_a_board_whose_power_is_set_keeps_what_that_needs() -> None:
    plain = keys(units.units(replace(PLAN, user="root"))["edge-sleep.service"])["Service"]
    sets = keys(units.units(replace(PLAN, user="root", settings=True))["edge-sleep.service"])["Service"]
    assert set(plain) - set(sets) == {"ProtectKernelTunables", "CapabilityBoundingSet", "AmbientCapabilities"}


@pytest.mark.parametrize("folder, name", [("/data/heron", "edge-sleep-heron"), ("/data/My Robot (2)", "edge-sleep-my-robot-2"),
                                          ("/data/%h$x", "edge-sleep-h-x"), ("/data/...", "edge-sleep-home"), ("/default", "edge-sleep")])
def test_names_follow_the_home(folder: str, name: str) -> None:
    assert units.unit_name(Path(folder), Path("/default")) == name


@pytest.mark.parametrize("word, written", [
    ("plain-word", "plain-word"), ("two words", '"two words"'), ("100%", "100%%"), ("$HOME", '"$$HOME"'), ('say "hi"', '"say \\"hi\\""'),
    ("back\\slash", '"back\\\\slash"'), ("", '""'), ("a;b", '"a;b"'), ("{}", '"{}"')])
def test_words_reach_the_command_as_they_are(word: str, written: str) -> None:
    assert units._line([word]) == written


systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")


def analyze(folder: Path, plan: Plan, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "run").mkdir(exist_ok=True)
    return subprocess.run(["systemd-analyze", *([] if plan.system else ["--user"]), *words], capture_output=True, text=True,
                          env={**os.environ, "XDG_RUNTIME_DIR": str(folder / "run")}, timeout=120)


@systemd
@pytest.mark.parametrize("name", PLANS)
def test_systemd_finds_nothing_wrong(tmp_path: Path, name: str) -> None:
    home = tmp_path / "a home with 100% \"odd\" $names"
    home.mkdir()
    plan = replace(PLANS[name], home=home, command=(sys.executable, "-m", "edge_sleep"), options=("--home", str(home)),
                   environment=(f"TMPDIR={home}/cache",))
    for file, text in units.units(plan).items():
        (tmp_path / file).write_text(text)
    shutil.copy(tmp_path / "edge-sleep-failed@.service", tmp_path / "edge-sleep-failed@edge-sleep.service")
    files = [str(file) for file in sorted(tmp_path.glob("edge-sleep*")) if "@." not in file.name]
    done = analyze(tmp_path, plan, "verify", "--man=no", *files)
    assert (done.returncode, done.stderr) == (0, "")


@systemd
def test_systemd_would_find_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "edge-sleep.service").write_text("[Service]\nExecStart=relative/program\nNiceness=4\n")
    done = analyze(tmp_path, replace(PLAN, user="root"), "verify", "--man=no", str(tmp_path / "edge-sleep.service"))
    assert done.returncode != 0 or "Niceness" in done.stderr


@systemd
@pytest.mark.parametrize("more, most", [
    ({"user": "companion"}, 1.7), ({"user": "companion", "watches": True}, 1.7), ({"user": "root"}, 2.0), ({"user": "companion", "loopback": True}, 2.2),
    ({"user": "companion", "network": True}, 2.4), ({"user": "companion", "settings": True}, 4.1), ({"user": "root", "settings": True, "network": True}, 5.2),
    ({}, 6.7), ({"network": True}, 6.9)], ids=str)
def test_how_exposed_it_is(tmp_path: Path, more: dict, most: float) -> None:
    """systemd's own score, 0 to 10, of the service and of what speaks when it failed; each bound is .2 above what systemd 252 gives."""
    plan = replace(PLAN, **more)
    for file, text in units.units(plan).items():
        (tmp_path / file).write_text(text)
    services = sorted(tmp_path.glob("*.service"))
    done = analyze(tmp_path, plan, "security", "--offline=true", "--no-pager", *map(str, services))
    found = re.findall(r"exposure level for edge-sleep\S*\.service: ([\d.]+)", done.stdout)
    assert len(found) == len(services) == 2, done.stderr
    assert max(map(float, found)) <= most
