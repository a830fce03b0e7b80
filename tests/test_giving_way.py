"""Whole micro-nights beside a neighbour and a conversation: who is stopped and comes back, and where the night steps aside."""
from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.cli import status
from edge_sleep.device.neighbours.lease import NeighbourError
from edge_sleep.errors import UsageError
from edge_sleep.stages import context
from edge_sleep.system import intent, lock
from edge_sleep.system.events import read_events
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home
from edge_sleep.system.intent import Change
from tests import micro
from tests.fake_systemd import Units

pytestmark = pytest.mark.night
LLM = "llm.service"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


class Bench:
    """One home, the unit that runs beside it, and what is seen of it at each event of a night."""

    def __init__(self, root, model):
        self.home, self.model, self.talk, self.units = Home(root / "home"), model, micro.write_talk(root / "talk").parent, Units(root / "units")
        self.seen: dict[str, bool] = {}
        self.listen = lambda event: None

    def night(self, *sets, **request):
        self.seen.clear()

        def listen(event):
            self.seen.setdefault(f"{event['event']} {event.get('name', '')} {event.get('state', '')}".strip(), self.runs)
            self.listen(event)

        return micro.night(self.home.root, self.model, self.talk, *sets, listener=listen, **request)

    @property
    def runs(self) -> bool:
        return self.units.pid(LLM) is not None

    def told(self, record) -> list[tuple[str, str]]:
        return [(event["setting"], event["state"]) for event in read_events(self.home.night(record["night"]) / "events.jsonl")
                if event["event"] == "neighbour"]


@pytest.fixture
def bench(tmp_path, model, monkeypatch):
    made = Bench(tmp_path, model)
    for name, value in made.units.on_path(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    made.units.make(LLM)
    yield made
    made.units.end()


def test_it_is_stopped_for_the_work_and_the_record_says_so(bench):
    record = bench.night("neighbours.units=[llm]")
    assert record["outcome"] == "promoted" and bench.runs
    assert (bench.seen["phase select begin"], bench.seen["phase plan begin"], bench.seen["phase judge begin"]) == (True, False, False)
    written = read_json(bench.home.night(record["night"]) / "record.json", "record")["environment"]["neighbours"]
    assert [(one["setting"], one["state"]) for one in written] == [(LLM, "set"), (LLM, "restored")] == bench.told(record)
    assert bench.units.history(LLM) == ["stop", "start"]


def test_a_night_without_work_stops_nobody(bench):
    sets = ("neighbours.units=[llm]",)
    assert bench.night(*sets, "data.min_new=50")["outcome"] == "nothing_to_do"
    assert bench.night(*sets, dry_run=True)["reason"].startswith("dry run")
    with lock.hold(bench.home.session_lock, "a talk with it"):
        assert bench.night(*sets)["reason"] == "a talk with it holds the session lock; nothing was begun"
    with pytest.raises(UsageError, match="no unit typo.service"):
        bench.night("neighbours.units=[typo]")
    assert bench.units.history(LLM) == []


def test_a_refused_stop_costs_the_night_and_nothing_else(bench):
    bench.units.deny("stop", LLM)
    with pytest.raises(NeighbourError, match="Access denied"):
        bench.night("neighbours.units=[llm]")
    (record,) = [read_json(file, "record") for file in bench.home.nights.glob("*/record.json")]
    assert (record["outcome"], record["exit_code"], record["phases"][-1]["name"]) == ("failed", 22, "select")
    bench.units.deny("stop", LLM, False)
    assert bench.night("neighbours.units=[llm]")["outcome"] == "promoted" and bench.runs


def test_a_signal_and_an_error_bring_it_back(bench, monkeypatch):
    bench.listen = lambda event: os.kill(os.getpid(), signal.SIGTERM) if event["event"] == "step" else None
    stopped = bench.night("neighbours.units=[llm]")
    assert (stopped["outcome"], stopped["exit_code"], bench.runs) == ("preempted", 143, True)
    bench.listen = lambda event: None
    monkeypatch.setattr("edge_sleep.stages.settle.judge", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        bench.night("neighbours.units=[llm]")
    assert bench.runs and bench.units.history(LLM) == ["stop", "start"] * 2


def test_the_next_start_brings_it_back_and_status_names_it_until_then(bench):
    bench.home.make()
    intent.write(bench.home.neighbours_intent, [Change(LLM, "systemctl", "active", "inactive")])
    bench.units.stop(LLM)
    assert status.examine(bench.home)["problems"] == [
        f"{LLM} (`systemctl start {LLM}`) is still stopped; `edge-sleep watch` and the next night try again"]
    with lock.hold(bench.home.night_lock, "a night"):
        assert status.examine(bench.home)["problems"] == []
    assert not bench.runs
    record = bench.night("data.min_new=50")                              # one that does not even name it
    assert bench.runs and bench.told(record) == [(LLM, "restored")]


@pytest.mark.parametrize("phase", ["train", "judge"])
def test_it_steps_aside_between_two_weights_and_two_tokens(bench, monkeypatch, phase):
    """At the third look after the phase began, which no boundary of a step or a batch of questions comes to."""
    at, looks = [""], []
    held = context.holder
    with ExitStack() as talk:
        def look(path):
            looks.append(at[0])
            if looks.count(phase) == 3:
                talk.enter_context(lock.hold(bench.home.session_lock, "a talk"))
            return held(path)

        bench.listen = lambda event: at.__setitem__(0, event["name"]) if event["event"] == "phase" else None
        monkeypatch.setattr(context, "holder", look)
        stopped = bench.night()
    assert stopped["outcome"] == "preempted" and stopped["phases"][-1] | {"seconds": 0} == {"name": phase, "seconds": 0, "outcome": "preempted"}
    assert {"train": "the base was being loaded", "judge": "the trained candidate is kept"}[phase] in stopped["reason"]
    assert looks.count(phase) == 3 and not any(event["event"] == "loaded" for event in read_events(
        bench.home.night(stopped["night"]) / "events.jsonl")[-3:])
    monkeypatch.setattr(context, "holder", held)
    ended = bench.night()
    assert (ended["outcome"], ended["night"]) == ("promoted", stopped["night"])


def test_it_looks_at_every_token_that_is_judged(bench, monkeypatch):
    at, looks = [""], []
    held = context.holder
    bench.listen = lambda event: at.__setitem__(0, event["name"]) if event["event"] == "phase" else None
    monkeypatch.setattr(context, "holder", lambda path: looks.append(at[0]) or held(path))
    bench.night("gate.max_new_tokens=16")
    batches = sum(event["event"] == "probe" for event in read_events(next(bench.home.nights.iterdir()) / "events.jsonl"))
    assert looks.count("judge") > 16 * batches


def test_an_export_that_was_broken_off_is_made_when_the_night_goes_on(bench, monkeypatch):
    sets = ("export.kinds=[merged]", "export.passages=4")
    with ExitStack() as talk:
        def begin(event):
            if event["event"] == "phase" and event["name"] == "export" and event["state"] == "begin":
                talk.enter_context(lock.hold(bench.home.session_lock, "a talk"))

        bench.listen = begin
        stopped = bench.night(*sets)
    assert stopped["outcome"] == "preempted" and stopped["exit_code"] == 14
    assert stopped["exports"] == {"merged": {"problem": "not made: a talk holds the session lock"}}
    current = store.incumbent(bench.home)
    assert current == stopped["candidate"]
    bench.listen = lambda event: None
    ended = bench.night(*sets)
    assert (ended["outcome"], ended["night"], ended["candidate"], ended["parent"]) == ("promoted", stopped["night"], current, None)
    assert "path" in ended["exports"]["merged"] and "train" not in [one["name"] for one in ended["phases"][len(stopped["phases"]):]]
