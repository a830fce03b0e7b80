"""A conversation takes the device: real processes, real locks."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_sleep.cli import session
from edge_sleep.system import lock, turn
from edge_sleep.system.home import Home


@pytest.fixture
def home(tmp_path: Path):
    place = Home(tmp_path / "home")
    yield place
    if place.exists() and lock.is_held(place.session_lock):
        session.stop_holder(place)


def test_begin_and_end(cli, home: Home) -> None:
    ran = cli("session", "begin", "--home", home.root, "--json")
    assert ran.code == 0 and ran.document["held"] is True
    assert lock.holder(home.session_lock)["pid"] == ran.document["pid"]
    again = cli("session", "begin", "--home", home.root)
    assert again.code == 17 and "session begin" in again.err
    assert cli("status", "--home", home.root, "--json").document["locks"]["session"]["pid"] == ran.document["pid"]
    assert cli("session", "end", "--home", home.root, "--json").document == {"held": False, "ended": True}
    assert not lock.is_held(home.session_lock)
    assert cli("session", "end", "--home", home.root).code == 10


def test_the_published_state_is_focus_for_that_long(cli, home: Home, tmp_path: Path) -> None:
    """A loop in another language reads the file alone."""
    def says() -> dict:
        return json.loads(home.metabolic.read_text())

    ran = cli("session", "begin", "--home", home.root, "--json")
    assert (says()["state"], says()["pid"]) == ("FOCUS", ran.document["pid"])
    assert cli("session", "end", "--home", home.root).code == 0
    assert says()["state"] == "WAKE"
    assert cli("session", "begin", "--home", home.root, "--", "cp", home.metabolic, tmp_path / "seen").code == 0
    assert json.loads((tmp_path / "seen").read_text())["state"] == "FOCUS" and says()["state"] == "WAKE"


def test_wake_is_its_alias(cli, home: Home) -> None:
    assert cli("wake", "--home", home.root).code == 0
    assert lock.is_held(home.session_lock)
    assert cli("wake", "end", "--home", home.root).code == 0
    assert cli("wake", "begin", "--home", home.root).code == 0
    assert cli("session", "end", "--home", home.root).code == 0


def test_a_command_under_the_lock(cli, home: Home, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    ran = cli("session", "begin", "--home", home.root, "--json", "--",
              "sh", "-c", f"flock --nonblock {home.session_lock} true; echo $? --json > {seen}; exit 7")
    assert ran.code == 7 and ran.document["exit_code"] == 7
    assert seen.read_text() == "1 --json\n"
    assert not lock.is_held(home.session_lock)


ROBOT = """
import sys
from pathlib import Path
from edge_sleep.system import lock, turn
from edge_sleep.system.home import Home
home = Home(Path(sys.argv[1]))
with turn.conversation(home, "a robot", wait_seconds=0.0):
    said = lock.holder(home.session_lock)["what"], home.metabolic.read_text().count("FOCUS")
    print(*said, file=open(sys.argv[2], "w"))
"""


def test_a_robot_that_takes_the_device_itself_has_it_already(cli, home: Home, tmp_path: Path) -> None:
    """`edge_sleep.load_current` in the program that `session begin` runs."""
    (tmp_path / "robot.py").write_text(ROBOT)
    seen = tmp_path / "seen"
    robot = [sys.executable, str(tmp_path / "robot.py"), str(home.root), str(seen)]
    assert cli("session", "begin", "--home", home.root, "--", *robot).code == 0
    assert seen.read_text() == f"a conversation ({sys.executable}) 1\n" and not lock.is_held(home.session_lock)
    subprocess.run(robot, check=True)
    assert seen.read_text() == "a robot 1\n"               # by itself it takes its own turn
    with lock.hold(home.session_lock, "a conversation (chat)"):
        for word in (f"{os.getpid() + 1} {os.path.realpath(home.session_lock)}", f"{os.getpid()} /elsewhere", "nonsense"):
            refused = subprocess.run(robot, env=os.environ | {turn.HANDED_ON: word}, capture_output=True, text=True)
            assert refused.returncode != 0 and "a conversation (chat)" in refused.stderr


def test_a_command_killed_or_missing(cli, home: Home) -> None:
    assert cli("session", "begin", "--home", home.root, "--", "sh", "-c", "kill -9 $$").code == 128 + 9
    assert cli("session", "begin", "--home", home.root, "--", "no-such-command").code == 2
    assert not lock.is_held(home.session_lock)


def test_it_waits_for_a_night(cli, home: Home) -> None:
    home.make()
    gone = threading.Event()

    def night() -> None:
        with lock.hold(home.night_lock, "a night"):
            held.set()
            while not lock.is_held(home.session_lock):
                time.sleep(0.01)
            time.sleep(0.5)
        gone.set()

    held = threading.Event()
    thread = threading.Thread(target=night)
    thread.start()
    held.wait()
    ran = cli("session", "begin", "--home", home.root)
    thread.join()
    assert ran.code == 0 and gone.is_set() and "gives way" in ran.err


def test_a_night_that_stays_is_17_and_the_session_lets_go(cli, home: Home) -> None:
    home.make()
    with lock.hold(home.night_lock, "a night"):
        ran = cli("session", "begin", "--home", home.root, "--wait", "0.3s")
    assert ran.code == 17 and "did not give way" in ran.err
    assert not lock.is_held(home.session_lock)


def test_end_does_not_kill_another_conversation(cli, home: Home) -> None:
    home.make()
    with lock.hold(home.session_lock, "a conversation (chat)"):
        ran = cli("session", "end", "--home", home.root)
        assert ran.code == 17 and "chat" in ran.err
        assert lock.is_held(home.session_lock)


def test_a_killed_holder_frees_the_device(cli, home: Home) -> None:
    pid = cli("session", "begin", "--home", home.root, "--json").document["pid"]
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 5
    while lock.is_held(home.session_lock) and time.monotonic() < until:
        time.sleep(0.01)
    assert cli("session", "end", "--home", home.root).code == 10
    assert cli("session", "begin", "--home", home.root).code == 0


@pytest.mark.parametrize("wait", ["120", "soon", "-1s"])
def test_a_wait_without_a_unit(cli, home: Home, wait: str) -> None:
    ran = cli("session", "begin", "--home", home.root, "--wait", wait)
    assert ran.code == 2 and "--wait" in ran.err
