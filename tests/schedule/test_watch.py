"""The watcher looks, begins, ends and tells; its nights are real processes, its clock is told."""
from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.errors import StorageError
from edge_sleep.schedule import book as nights
from edge_sleep.schedule import metabolic, watch
from edge_sleep.schedule.rhythm import Machine
from edge_sleep.schedule.watch import Watcher
from edge_sleep.system import lock, notify
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home
from tests.fake_systemd import Units

STANDIN = Path(__file__).parent / "standin.py"
EVENING = datetime.fromisoformat("2026-06-10T22:30:00+00:00")


class Bench:
    """A watcher with a told clock and a told machine."""

    def __init__(self, root: Path, *sets: str, at: datetime = EVENING):
        self.home = Home(root).make()
        self.clock = ManualClock(at, 1e6)
        self.clock.wall = at - timedelta(seconds=1e6)
        self.machine = Machine(new=20)
        self.said: list[str] = []
        self.sets = ["schedule.timezone=UTC", *sets]
        self.seconds: list[float] = []
        self.night = ["night", str(root), "0.05", "0"]
        self.watcher = self.start()

    def start(self) -> Watcher:
        return Watcher(self.home, lambda: config.load(None, self.sets), self.command, self.said.append, self.clock,
                       machine=self.observe)

    def command(self, seconds: float) -> list[str]:
        self.seconds.append(seconds)
        return [sys.executable, "-S", "-E", str(STANDIN), *self.night]

    def observe(self, home: Home, _: config.Config, count: bool) -> Machine:
        return replace(self.machine, new=self.machine.new if count else None,
                       running="a night" if lock.is_held(home.night_lock) else self.machine.running)

    def later(self, hours: float) -> watch.Look:
        self.clock.advance(hours * 3600)
        return self.watcher.tick()

    def ended(self) -> nights.Entry:
        """Let the running night end, and look."""
        assert self.watcher.begun is not None
        self.watcher.begun.child.wait(120)
        self.watcher.tick()
        entry = self.book().of(date(2026, 6, 10))
        assert entry is not None
        return entry

    def book(self) -> nights.Book:
        return nights.read(self.home.rhythm)[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "home")


def test_a_night_is_begun_and_its_record_read(bench: Bench) -> None:
    bench.watcher.tick()
    begun = bench.book().of(date(2026, 6, 10))
    assert begun is not None and begun.outcome is None                   # on disk before it runs
    entry = bench.ended()
    assert (entry.outcome, entry.exit_code, entry.reason, entry.attempts) == ("promoted", 0, "stand-in", 1)
    assert bench.later(2).decision.yes is False and bench.watcher.begun is None
    assert bench.seconds == [55 * 60]


def test_a_night_has_the_time_until_dawn_and_no_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "home", at=EVENING + timedelta(hours=7))     # 05:30
    bench.watcher.tick()
    assert bench.seconds == [30 * 60]
    assert bench.ended().outcome == "promoted"


def test_a_night_that_dies_takes_nobody_along(bench: Bench) -> None:
    bench.night = ["night", str(bench.home.root), "30", "0"]
    bench.watcher.tick()
    assert bench.watcher.begun is not None
    bench.watcher.begun.child.kill()
    entry = bench.ended()
    assert (entry.outcome, entry.exit_code) == ("failed", 137) and "signal 9" in entry.reason
    assert [reason.name for reason in bench.later(0.5).decision.against] == ["pause"]
    bench.night = ["night", str(bench.home.root), "0.05", "0"]
    bench.later(0.6)
    assert (again := bench.ended()).outcome == "promoted" and again.attempts == 2


def test_a_night_that_does_not_start_is_a_failed_one(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(bench.watcher, "_command", lambda seconds: ["/nonexistent/python"])
    bench.watcher.tick()
    entry = bench.book().of(date(2026, 6, 10))
    assert entry is not None and entry.outcome == "failed" and "does not start" in entry.reason


def test_no_second_night_before_the_first_has_its_lock(bench: Bench) -> None:
    bench.night = ["night", str(bench.home.root), "1", "0"]
    bench.watcher.tick()
    bench.watcher.tick()
    assert len(bench.seconds) == 1
    assert bench.ended().attempts == 1


@pytest.mark.parametrize("days", [-3, 1, 400])
def test_a_clock_that_is_set_while_the_night_runs(bench: Bench, days: int) -> None:
    bench.watcher.tick()
    assert bench.watcher.begun is not None
    bench.watcher.begun.child.wait(120)
    bench.clock.wall += timedelta(days=days)
    bench.watcher.tick()
    [entry] = [entry for entry in bench.book().entries if entry.attempts]
    assert entry.outcome == "promoted" and entry.date == (EVENING + timedelta(days=days)).date().isoformat()
    assert len(bench.seconds) == 1


def test_another_s_lock_is_no_attempt(bench: Bench) -> None:
    with lock.hold(bench.home.night_lock, "by hand"):
        monkey, bench.watcher._machine = bench.watcher._machine, lambda *_: bench.machine        # it came between look and start
        bench.watcher.tick()
        assert bench.watcher.begun is not None
        bench.watcher.begun.child.wait(120)
        bench.watcher._machine = monkey
        bench.watcher.tick()
        assert bench.book().of(date(2026, 6, 10)) is None
    bench.watcher.tick()
    assert bench.ended().attempts == 1


def test_an_orphan_of_a_killed_watcher_is_waited_for(bench: Bench) -> None:
    bench.night = ["night", str(bench.home.root), "1", "0"]
    bench.watcher.tick()
    orphan = bench.watcher.begun
    assert orphan is not None
    until = time.monotonic() + 60
    while not lock.is_held(bench.home.night_lock) and time.monotonic() < until:
        time.sleep(0.01)
    bench.watcher = bench.start()                                         # the first one is gone, its night is not
    assert "night" in [reason.name for reason in bench.watcher.tick().decision.against]
    orphan.child.wait(120)
    record = next(bench.home.nights.glob("*/record.json"))
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "started": "2026-06-10T22:30:00+00:00", "ended": "2026-06-10T22:31:00+00:00"}))
    bench.later(0.1)
    assert len(bench.seconds) == 1 and bench.book().of(date(2026, 6, 10)).outcome == "promoted"


def test_ending_the_watcher_ends_the_night_with_its_state_saved(bench: Bench) -> None:
    bench.night = ["night", str(bench.home.root), "30", "0"]
    bench.watcher.tick()
    until = time.monotonic() + 60
    while not (bench.home.root / "log").exists() and time.monotonic() < until:
        time.sleep(0.01)
    bench.watcher.stop()
    entry = bench.book().of(date(2026, 6, 10))
    assert entry is not None and (entry.outcome, entry.exit_code) == ("preempted", 143)
    bench.watcher = bench.start()
    bench.night = ["night", str(bench.home.root), "0.05", "0"]
    bench.later(0.1)
    assert bench.ended().record == entry.record                           # gone on with, not begun anew


def test_the_store_is_counted_only_where_it_matters(bench: Bench) -> None:
    asked: list[bool] = []
    bench.watcher._machine = lambda home, found, count: asked.append(count) or replace(bench.machine, session="a talk")
    bench.watcher.tick()
    bench.later(9)                                                         # 07:30
    assert asked == [True, False]


def test_the_state_is_published(bench: Bench) -> None:
    bench.machine = replace(bench.machine, new=0)
    bench.watcher.tick()
    assert metabolic.read(bench.home).state is metabolic.State.REST
    bench.later(9.9)
    assert metabolic.read(bench.home).state is metabolic.State.WAKE
    with lock.hold(bench.home.session_lock, "a talk"):
        bench.machine = replace(bench.machine, session="a talk")
        bench.later(0.1)
        assert metabolic.read(bench.home).state is metabolic.State.FOCUS


def test_time_alone_is_written_seldom(bench: Bench) -> None:
    bench.machine = replace(bench.machine, new=0)
    bench.watcher.tick()
    written = bench.home.rhythm.stat().st_mtime_ns
    for _ in range(10):
        bench.later(30 / 3600)
    assert bench.home.rhythm.stat().st_mtime_ns == written
    bench.later(0.1)
    assert bench.home.rhythm.stat().st_mtime_ns > written


def test_a_watcher_that_looks_once_an_hour_writes_each_time(bench: Bench) -> None:
    bench.machine = replace(bench.machine, new=0)
    bench.watcher.tick()
    for _ in range(3):
        written = bench.home.rhythm.stat().st_mtime_ns
        bench.watcher = bench.start()
        bench.later(1)
        assert bench.home.rhythm.stat().st_mtime_ns > written and bench.book().at.since_boot == bench.clock.since_boot()


def test_transcripts_are_read_before_a_night_is_weighed(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "home", f"data.sessions=[{tmp_path}/talk]")
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "a.json").write_text("{}")
    os.utime(tmp_path / "talk" / "a.json", (0, 0))
    bench.machine = replace(bench.machine, new=0)
    bench.watcher = Watcher(bench.home, lambda: config.load(None, bench.sets), bench.command, bench.said.append, bench.clock,
                            machine=bench.observe, reading=lambda paths: [sys.executable, "-S", "-E", "-c", "", *map(str, paths)])
    assert "night" in [reason.name for reason in bench.watcher.tick().decision.against] and bench.watcher.busy
    bench.machine = replace(bench.machine, new=20)                         # what was read is something to learn
    until = time.monotonic() + 60
    while bench.watcher.begun is None and time.monotonic() < until:
        time.sleep(0.01)
        bench.watcher.tick()
    assert bench.ended().outcome == "promoted" and bench.book().inbox is not None


def test_a_missed_night_is_told_once_and_again_until_it_is_heard(tmp_path: Path) -> None:
    told = tmp_path / "told"
    bench = Bench(tmp_path / "home", f"schedule.command=test -e {tmp_path}/there && cat >> {told} && echo $EDGE_SLEEP_ALARM >> {told}")
    bench.machine = replace(bench.machine, power="battery")
    bench.watcher.tick()
    bench.later(12)
    assert sum("missed" in line for line in bench.said) == 2               # it happened; and its command failed
    (tmp_path / "there").touch()
    bench.later(0.1)
    assert not told.exists()                                               # not hammered
    bench.later(0.1)
    assert told.read_text() == "the night of 2026-06-10 was missed: on battery\nmissed_night\n"
    bench.later(1)
    assert told.read_text().count("missed_night") == 1
    bench.watcher = bench.start()                                          # nor told again after a restart
    bench.later(1)
    assert told.read_text().count("missed_night") == 1


def test_a_configuration_that_is_wrong_changes_nothing(bench: Bench) -> None:
    bench.sets.append("schedule.night=25:00")
    bench.watcher.reload()
    assert "stays as it was" in bench.said[-1] and bench.watcher.tick().decision
    bench.sets[-1] = "schedule.night=23:30"
    bench.watcher.reload()
    assert bench.watcher.settings.windows.night.hour == 23


def test_a_disk_that_is_full_begins_no_night(bench: Bench, monkeypatch) -> None:
    def full(*_):
        raise StorageError("full", "free some")
    monkeypatch.setattr(nights, "write", full)
    with pytest.raises(StorageError):
        bench.watcher.tick()
    assert bench.watcher.begun is None
    monkeypatch.undo()
    bench.watcher.tick()
    assert bench.ended().attempts == 1


def test_a_damaged_store_is_a_crisis_and_no_end(bench: Bench) -> None:
    bench.watcher.trouble(sqlite3.OperationalError("database is locked"))
    assert metabolic.read(bench.home).state is metabolic.State.WAKE
    bench.said.clear()
    bench.watcher.trouble(sqlite3.DatabaseError("file is not a database"))
    assert metabolic.read(bench.home).state is metabolic.State.CRISIS and metabolic.read(bench.home).cause == "integrity"
    bench.watcher.trouble(sqlite3.DatabaseError("file is not a database"))
    assert len(bench.said) == 1


@pytest.fixture
def manager(tmp_path: Path, monkeypatch):
    """A service manager's socket."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(tmp_path / "notify"))
    channel.settimeout(120)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield channel
    channel.close()


def test_the_manager_is_told(bench: Bench, manager: socket.socket) -> None:
    bench.watcher.tick()
    told = manager.recv(4096).decode().splitlines()
    assert "WATCHDOG=1" in told and "STATUS=the night of 2026-06-10 is running" in told
    bench.watcher.reload()
    reloading, ready = manager.recv(4096).decode(), manager.recv(4096).decode()
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=") and ready == "READY=1"
    bench.ended()


def test_without_a_manager_there_is_silence(monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify.notify(READY=1) is False
    for address in ("/nonexistent/socket", "relative", "@edge-sleep-nobody"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert notify.notify(READY=1) is False


@pytest.mark.parametrize("variables, seconds", [
    ({"WATCHDOG_USEC": "300000000"}, 300.0), ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0), ({"WATCHDOG_USEC": "soon"}, None), ({}, None)])
def test_how_often_the_manager_wants_to_hear(monkeypatch, variables: dict, seconds: float | None) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert notify.watchdog_seconds() == seconds


def test_the_service_as_a_process(tmp_path: Path, manager: socket.socket) -> None:
    """READY, a watchdog, SIGHUP, SIGTERM: what systemd sees of it."""
    now = datetime.now().astimezone()
    offset = (now.replace(hour=12, minute=0, second=0) - now).total_seconds()
    process = subprocess.Popen([sys.executable, str(STANDIN), "watch", str(tmp_path / "home"), str(offset)], stderr=subprocess.PIPE,
                               text=True, env={**os.environ, "PYTHONPATH": str(STANDIN.parents[2]), "WATCHDOG_USEC": "500000"})
    heard: list[str] = []

    def until(word: str) -> None:
        while not any(word in line for line in heard):
            heard.extend(manager.recv(4096).decode().splitlines())

    try:
        until("READY=1")
        until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        until("RELOADING=1")
        process.send_signal(signal.SIGTERM)
        until("STOPPING=1")
        assert process.wait(60) == 0
        assert process.stderr is not None and "configuration read anew" in process.stderr.read()
    finally:
        process.kill()


def test_what_a_killed_night_left_is_put_back_at_the_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that fails it is said, out loud once a day, and tried again every ten minutes and after every night."""
    from edge_sleep.system import intent
    units = Units(tmp_path / "units")
    for name, value in units.on_path(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    units.make("llm.service", running=False)
    units.deny("start", "llm.service")
    bench = Bench(tmp_path / "home", f"schedule.command=cat >> {tmp_path}/told", at=EVENING - timedelta(hours=8))
    intent.write(bench.home.neighbours_intent, [intent.Change("llm.service", "systemctl", "active", "inactive")])
    with lock.hold(bench.home.night_lock, "a night that has it stopped"):
        bench.watcher.tick()
    assert not bench.said or "llm" not in "".join(bench.said)
    for _ in range(3):
        bench.later(0.01)
    (told,) = [line for line in bench.said if "llm.service" in line]
    assert told.startswith("warning: left by a killed night: neighbour llm.service not restored") and "Access denied" in told
    bench.later(0.2)
    assert (tmp_path / "told").read_text().count("llm.service") >= 1 and len((tmp_path / "told").read_text().splitlines()) == 1
    units.deny("start", "llm.service", False)
    bench.later(0.2)
    assert units.pid("llm.service") is not None and not bench.home.neighbours_intent.exists() and "restored" in bench.said[-1]
    units.end()
