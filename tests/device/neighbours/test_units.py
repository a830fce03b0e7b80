"""Units that run real processes: only what ran is stopped, and it runs again on every way out."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sleep.device.neighbours import lease, unit
from edge_sleep.device.neighbours.lease import NeighbourError
from edge_sleep.errors import DeviceError, StorageError, UsageError
from edge_sleep.system import intent
from edge_sleep.system.intent import Change
from tests.fake_systemd import Units

ROOT = Path(__file__).parents[3]
NIGHT = """
import os, signal, sys, time
from pathlib import Path
from edge_sleep import config
from edge_sleep.device.neighbours import unit
from edge_sleep.device.neighbours.lease import Neighbours
from edge_sleep.system.signals import Signals
{patch}
with Signals() as signals, Neighbours(config.Neighbours(units=("robot", "llm")), Path(sys.argv[1])) as neighbours:
    neighbours.take()
    print("held", flush=True)
    while signals.received is None:
        time.sleep(0.01)
"""


@pytest.fixture
def two(machine):
    machine.units.make("llm.service")
    machine.units.make("robot.service", needs="llm.service")
    return machine


def running(machine, *names: str) -> list[bool]:
    return [machine.units.pid(f"{name}.service") is not None for name in names or ("robot", "llm")]


def begin(machine, patch: str = "", **environment: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", NIGHT.format(patch=patch), str(machine.intent)], stdout=subprocess.PIPE,
                            text=True, cwd=ROOT, env={**os.environ, **environment})


def held(machine, patch: str = "") -> subprocess.Popen:
    night = begin(machine, patch)
    assert night.stdout is not None and night.stdout.readline() == "held\n"
    assert running(machine) == [False, False]
    return night


def test_nothing_asked_nothing_done(machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with machine.neighbours() as neighbours:
        neighbours.check()
        neighbours.take()
    assert machine.told == [] and not machine.intent.exists() and machine.next_start() == []


def test_stopped_in_order_and_started_in_reverse(two):
    with two.neighbours(units=("robot", "llm.service")) as neighbours:
        neighbours.check()
        assert running(two) == [True, True]
        neighbours.take()
        assert running(two) == [False, False]
        assert [(one.setting, one.by) for one in intent.read(two.intent, lease.known)] == [
            ("robot.service", "systemctl"), ("llm.service", "systemctl")]
    assert running(two) == [True, True] and not two.intent.exists()
    assert two.states() == [("robot.service", "set"), ("llm.service", "set"), ("llm.service", "restored"),
                            ("robot.service", "restored")]
    assert neighbours.changes == two.told and two.told[0]["reason"] == "stopped by systemctl"


def test_what_did_not_run_is_never_started(machine):
    machine.units.make("llm.service", running=False)
    with machine.neighbours(units=("llm",)) as neighbours:
        neighbours.take()
        assert not machine.intent.exists()
    assert running(machine, "llm") == [False] and machine.units.history("llm.service") == [] and machine.told == []


def test_what_somebody_started_meanwhile_stays(two):
    with two.neighbours(units=("robot", "llm")) as neighbours:
        neighbours.take()
        two.units.start("llm.service")
        pid = two.units.pid("llm.service")
    assert two.units.pid("llm.service") == pid and two.told[2]["reason"] == "it was as before already"
    assert two.units.history("llm.service") == ["stop"]


def test_units_of_the_user_are_others(machine):
    own = Units(machine.units.root / "user")
    machine.units.make("llm.service")
    own.make("llm.service")
    with machine.neighbours(user_units=("llm",)) as neighbours:
        neighbours.take()
        assert running(machine, "llm") == [True] and own.pid("llm.service") is None
    assert own.pid("llm.service") is not None and own.history("llm.service") == ["stop", "start"]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), SystemExit(3)])
def test_started_again_after_an_exception(two, error):
    with pytest.raises(type(error)), two.neighbours(units=("robot", "llm")) as neighbours:
        neighbours.take()
        raise error
    assert running(two) == [True, True] and not two.intent.exists()


@pytest.mark.parametrize(("asked", "said"), [
    ({"units": ("typo", "llm")}, "there is no unit typo.service; stopping llm.service would stop robot.service as well"),
    ({"units": ("llm",)}, "would stop robot.service")])
def test_refused_before_the_night(two, asked, said):
    with pytest.raises(UsageError, match=said):
        two.neighbours(**asked).check()
    assert running(two) == [True, True] and not two.intent.exists()


def test_a_night_does_not_stop_itself(machine, monkeypatch):
    machine.units.make("edge-sleep.service")
    monkeypatch.setattr(unit, "_own", lambda: {"system.slice", "edge-sleep.service"})
    with pytest.raises(UsageError, match="edge-sleep.service is the unit that this night runs in"):
        machine.neighbours(units=("edge-sleep",)).check()


def test_without_systemd_it_says_so(machine, tmp_path, monkeypatch):
    machine.units.make("llm.service")
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus: No such file or directory' >&2\nexit 1\n")
    with pytest.raises(DeviceError, match="does not say how llm.service is: Failed to connect to bus"):
        machine.neighbours(units=("llm",)).check()
    (tmp_path / "bin/systemctl").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DeviceError, match="systemctl cannot be started"):
        machine.neighbours(units=("llm",)).check()


def test_a_refused_stop_ends_it_by_name_and_brings_the_others_back(two):
    two.units.deny("stop", "llm.service")
    with pytest.raises(NeighbourError, match=r"llm.service is not stopped, it is active \(Failed to stop llm.service: Access denied"), \
            two.neighbours(units=("robot", "llm")) as neighbours:
        neighbours.take()
    assert running(two) == [True, True] and not two.intent.exists()
    assert NeighbourError.exit_code == 22


def test_a_refused_start_is_named_and_tried_again(two):
    two.units.deny("start", "llm.service")
    with two.neighbours(units=("robot", "llm")) as neighbours:
        neighbours.take()
    assert running(two) == [True, False] and two.states()[2:] == [("llm.service", "not restored"), ("robot.service", "restored")]
    assert "Access denied" in two.told[2]["reason"] and "tried again at the next start" in two.told[2]["reason"]
    assert lease.left_over(two.intent) == ["llm.service (`systemctl start llm.service`)"]
    assert two.next_start() == [("llm.service", "not restored")]

    with two.neighbours(units=("robot",)) as neighbours:              # a night goes on, and keeps what is still to be done
        neighbours.take()
        assert [one.setting for one in intent.read(two.intent, lease.known)] == ["llm.service", "robot.service"]
        two.units.deny("start", "llm.service", False)
    assert running(two) == [True, True] and not two.intent.exists()


def test_a_unit_that_is_no_more_is_not_waited_for(machine):
    intent.write(machine.intent, [Change("old.service", "systemctl", "active", "inactive")])
    assert machine.next_start() == [("old.service", "left")] and not machine.intent.exists()


@pytest.mark.parametrize("change", [Change("llm.service", "sudo", "active", "inactive"), Change("m", "ollama x", "active", "inactive"),
                                    Change("llm.service", "systemctl", "inactive", "active")])
def test_an_intent_of_something_else_is_damage(machine, change):
    intent.write(machine.intent, [change])
    (told,) = lease.restore_left_over(machine.intent)
    assert told["state"] == "damaged" and machine.intent.with_name("neighbours-intent.damaged-1.json").exists()


def test_a_full_disk_stops_nothing_and_keeps_nothing_stopped(two, monkeypatch):
    def full(*_, **__):
        raise StorageError("no space left", "")

    with two.neighbours(units=("robot",)) as neighbours:
        neighbours.take()
        monkeypatch.setattr(intent, "write", full)
    assert running(two) == [True, True]
    with pytest.raises(StorageError), two.neighbours(units=("robot",)) as neighbours:
        neighbours.take()
    assert running(two) == [True, True] and two.units.history("robot.service") == ["stop", "start"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal(two, number):
    night = held(two)
    night.send_signal(number)
    assert night.wait(30) == 0 and running(two) == [True, True] and two.next_start() == []


def test_killed_the_next_start_brings_them_back(two):
    night = held(two)
    night.kill()
    night.wait()
    assert running(two) == [False, False], "nobody was left to do it"
    assert two.next_start() == [("llm.service", "restored"), ("robot.service", "restored")]
    assert running(two) == [True, True] and two.next_start() == []


@pytest.mark.parametrize("patch", [
    "unit.Unit.set = lambda self, value: os.kill(os.getpid(), signal.SIGKILL)",
    "real = unit.Unit.set\nunit.Unit.set = lambda self, value: (real(self, value), os.kill(os.getpid(), signal.SIGKILL))"],
    ids=["before", "after"])
def test_killed_around_the_first_stop(two, patch):
    assert begin(two, patch).wait(30) == -signal.SIGKILL
    assert two.next_start() == [("robot.service", "restored")] and running(two) == [True, True]


def test_killed_while_systemctl_is_at_work(two):
    """It stops the unit a second later; the next start must not believe that it runs."""
    night = begin(two, FAKE_SYSTEMCTL_SECONDS="1")
    while not two.intent.exists():
        time.sleep(0.01)
    time.sleep(0.2)
    night.kill()
    night.wait()
    assert running(two) == [True, True], "not yet"
    assert two.next_start() == [("robot.service", "restored")]
    assert running(two) == [True, True] and two.units.history("robot.service") == ["stop", "start"]
