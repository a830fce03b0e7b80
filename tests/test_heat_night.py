"""A night by the command, its heat and power told by the real jtop service on a board of files, while that board is ill-treated."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest
from edge_sleep.benchmarks.fake_board.service import Service, impossible
from edge_sleep.benchmarks.fake_board.tree import Board

from edge_sleep.system.events import read_events
from tests import micro

WHY_NOT = impossible()
pytestmark = [pytest.mark.night, pytest.mark.alone, pytest.mark.skipif(WHY_NOT is not None, reason=f"no jtop service here: {WHY_NOT}")]
DECIDED_SECONDS = 3.0


class Running:
    """A night in a process of its own, watched through its events."""

    def __init__(self, root, model, *sets: str):
        self.home, self.log = root / "home", root / "night.log"
        sets = (*micro.SETS, f"companion.model={model}", "thermal.source=jtop", "train.state_every=1s", *sets)
        command = [sys.executable, "-m", "edge_sleep", "night", "--home", str(self.home), "--sessions", str(root / "talk"),
                   "--profile", "orin-nano-8gb", "--json", *(part for item in sets for part in ("--set", item))]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)

    def events(self, kind: str) -> list[dict]:
        files = sorted(self.home.glob("nights/*/events.jsonl"))
        return [event for event in (read_events(files[-1]) if files else []) if event["event"] == kind]

    def wait(self, kind: str, seconds: float = 60.0, after: datetime | None = None, **facts) -> dict:
        """The first event of this kind with these facts, from `after` on."""
        until = time.monotonic() + seconds
        while True:
            for event in self.events(kind):
                late = after is None or datetime.fromisoformat(event["at"]) >= after
                if late and all(str(value) in str(event[name]) for name, value in facts.items()):
                    return event
            assert time.monotonic() < until, (f"no {kind} with {facts} in {seconds} s; {self.events('pace')[-3:]}; "
                                              f"{self.log.read_text()[-1000:]}")
            assert self.process.poll() is None, f"the night ended: {self.log.read_text()[-1500:]}"
            time.sleep(0.05)

    def end(self) -> dict:
        out, _ = self.process.communicate(timeout=120)
        return json.loads(out.splitlines()[-1])


def decided(night: Running, change, **facts) -> dict:
    """What `change` made the night decide, and that it did so in time."""
    began = datetime.now().astimezone()
    change()
    event = night.wait("pace", DECIDED_SECONDS + 4.0, after=began, **facts)
    took = (datetime.fromisoformat(event["at"]) - began).total_seconds()
    assert took <= DECIDED_SECONDS, f"{facts}: decided after {took:.1f} s"
    return event


def stands(night: Running) -> bool:
    """Whether no step is taken; one micro-batch may still have been under way."""
    time.sleep(0.5)
    steps = len(night.events("step"))
    time.sleep(1.0)
    return len(night.events("step")) == steps


@pytest.fixture
def root(tmp_path):
    micro.write_talk(tmp_path / "talk")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.mark.long                                   # 105 s, most of them pauses in which nothing else may run
def test_a_night_on_a_board_that_is_ill_treated(root, model):
    board = Board(root / "board", "orin-nano-8gb", 45.0, 12.0)
    with Service(board) as service:
        night = Running(root, model, "train.epochs=1500", "train.loss_floor=0", "budget.time=10m", "budget.reserve=0.05")
        try:
            assert night.wait("telemetry")["source"] == "jtop"
            night.wait("step")
            decided(night, lambda: board.heat(80.0), action="slow", cause="heat")
            decided(night, lambda: board.heat(91.0), action="pause", cause="heat", reason="91.0")
            assert stands(night)
            decided(night, lambda: board.heat(45.0), action="run")
            assert not stands(night)

            decided(night, lambda: board.break_rail("VDD_IN"), action="pause", cause="telemetry_lost", reason="rail VDD_IN")
            assert stands(night)
            decided(night, lambda: board.mend_rail("VDD_IN"), action="run")

            decided(night, lambda: service.signal(signal.SIGSTOP), action="pause", cause="telemetry_lost", reason="silent")
            assert stands(night)
            service.signal(signal.SIGCONT)
            night.wait("pace", 15.0, after=datetime.fromisoformat(night.events("pace")[-1]["at"]), action="run")

            decided(night, lambda: service.signal(signal.SIGKILL), action="pause", cause="telemetry_lost", reason="connection lost")
            assert stands(night)
            service.end()
            began = datetime.now().astimezone()
            service.version = "6.1.0"
            service.start()
            night.wait("pace", 75.0, after=began, action="pause", reason="version mismatch")
            service.end()
            service.version = None
            service.start()
            night.wait("pace", 40.0, after=began, action="run")
            night.wait("step", after=began)

            decided(night, lambda: board.heat(95.0), action="pause", cause="heat")
            night.process.send_signal(signal.SIGTERM)      # in a pause too the night gives way
            began = time.monotonic()
            record = night.end()
            assert time.monotonic() - began < 5.0
        finally:
            night.process.kill()
            night.process.wait()
    assert (record["outcome"], record["exit_code"]) == ("preempted", 128 + signal.SIGTERM)
    assert record["measured"]["max_celsius"] == 95.0
    assert record["measured"]["energy_joules"] > 100.0
    assert set(record["measured"]["rests"]) >= {"heat", "telemetry_lost"}
    assert record["environment"]["telemetry"]["source"] == "jtop"
    recorded = next(night.home.glob("nights/*/telemetry.jsonl")).read_text().splitlines()
    assert len(recorded) > 5 and json.loads(recorded[0])["zones"]["tj"] == 45.0


def test_a_board_that_stays_hot_ends_the_night_resumable_and_the_next_one_goes_on(root, model):
    board = Board(root / "board", "orin-nano-8gb", 45.0, 12.0)
    with Service(board):
        night = Running(root, model, "train.epochs=100", "train.loss_floor=0", "thermal.longest_pause=3s")
        try:
            night.wait("step")
            board.heat(90.0)
            record = night.end()
        finally:
            night.process.kill()
        assert night.process.returncode == 13
        assert (record["outcome"], record["train"]["stop_reason"]) == ("stopped_heat", "heat")
        assert "90.0" in record["reason"] and "run the night again" in record["reason"]
        board.heat(45.0)
        again = Running(root, model, "train.epochs=100", "train.loss_floor=0").end()
    assert (again["outcome"], again["night"]) == ("promoted", record["night"])
    assert again["measured"]["paused_seconds"] >= record["measured"]["paused_seconds"]


@pytest.mark.parametrize(("sets", "code", "words"), [
    ((), 22, "version mismatch"), (("thermal.ceiling_celsius=98.5",), 2, "kernel of orin-nano-8gb"),
    (("thermal.release_celsius=90",), 2, "below the ceiling")])
def test_what_cannot_be_minded_is_refused_before_the_work(root, model, sets, code, words):
    with Service(Board(root / "board", "orin-nano-8gb"), version="6.1.0"):
        night = Running(root, model, *sets)
        night.process.communicate(timeout=60)
    assert night.process.returncode == code
    assert words in night.log.read_text()


@pytest.mark.long
def test_energy_that_is_used_up_ends_the_night_resumable(root, model):
    board = Board(root / "board", "orin-nano-8gb", 45.0, 40.0)
    with Service(board):
        night = Running(root, model, "train.epochs=1500", "train.loss_floor=0", "power.energy_joules=800")
        record = night.end()
    assert night.process.returncode == 13
    assert "energy budget is used" in record["reason"]
    # Loading alone takes some 400 J of a board at 40 W; then it is spread over the steps.
    assert record["measured"]["energy_joules"] == pytest.approx(800.0, abs=80.0)
    assert os.path.exists(night.home / "nights" / record["night"] / "state")
