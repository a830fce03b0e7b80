"""Who has the device and when: real locks, a parrot for a model."""
from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.errors import Busy, DoesNotFit, StorageError
from edge_sleep.serve import engine as engines
from edge_sleep.serve.engine import WHAT, Engine, Job, Others
from edge_sleep.serve.metrics import Metrics
from edge_sleep.serve.runtime import Options
from edge_sleep.system import lock
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home


class Rig:
    """An engine in a home of its own, with a clock that moves when told."""

    def __init__(self, root: Path):
        self.home, self.clock, self.told = Home(root / "home").make(), ManualClock(), []
        self.engine: Engine | None = None

    def start(self, *sets: str) -> Engine:
        settings = config.load(None, ["serve.idle=60s", "serve.wait=5s", *sets])
        self.engine = Engine(self.home, settings, Metrics(), self.told.append, self.clock)
        self.engine.start()
        return self.engine

    def ask(self, said: str = "hello", **more) -> Job:
        job = Job([{"role": "user", "content": said}], Options(100), **more)
        assert self.engine.submit(job)
        return job

    def said(self, said: str = "hello") -> str:
        return self.ask(said).done.result(10)[0].text

    def count(self, name: str) -> float:
        return self.engine.metrics.registry.get_sample_value(f"edge_sleep_{name}")

    @property
    def holds(self) -> bool:
        return (lock.holder(self.home.session_lock) or {}).get("what") == WHAT


@pytest.fixture
def rig(parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "_TICK_SECONDS", 0.01)
    rig = Rig(tmp_path)
    yield rig
    if rig.engine is not None and rig.engine._thread.is_alive():
        rig.engine.stop()


def until(what) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_device_is_held_while_it_is_talked_to_and_given_back_with_the_memory(rig: Rig, parrot) -> None:
    rig.start()
    assert rig.holds and rig.said("first") == "I heard first"
    rig.clock.advance(59)
    time.sleep(0.1)
    assert rig.holds and not parrot.closed and rig.count("model_loaded") == rig.count("device_held") == 1
    assert json.loads(rig.home.metabolic.read_text())["state"] == "FOCUS"
    rig.clock.advance(1.5)
    until(lambda: not lock.is_held(rig.home.session_lock))
    assert parrot.closed and rig.engine.state.identity is None and rig.count("model_loaded") == rig.count("device_held") == 0
    assert json.loads(rig.home.metabolic.read_text())["state"] == "WAKE"
    parrot.closed = False
    assert rig.said("second") == "I heard second"                # taken again, loaded again
    assert rig.holds and not parrot.closed
    rig.engine.stop()
    assert not lock.is_held(rig.home.session_lock) and parrot.closed


def test_every_request_begins_the_idle_time_anew(rig: Rig) -> None:
    rig.start()
    for _ in range(5):
        rig.clock.advance(40)
        assert rig.said() == "I heard hello" and rig.holds


def test_a_night_gives_way_to_a_request(rig: Rig) -> None:
    with lock.hold(rig.home.night_lock, "a night"):
        rig.start()                                              # a server that starts at night lets it run
        assert not rig.holds and "a night is running" in rig.told[0]
        job = rig.ask()
        until(lambda: rig.holds)                                 # which is what a night looks at
        assert not job.done.done()
    assert job.done.result(10)[0].text == "I heard hello"


def test_a_night_that_stays_is_a_refusal_and_the_lock_is_given_back(rig: Rig) -> None:
    with lock.hold(rig.home.night_lock, "a night"):
        rig.start("serve.wait=0.1s")
        with pytest.raises(Busy, match="did not give way"):
            rig.said()
        assert not lock.is_held(rig.home.session_lock)
    assert rig.said() == "I heard hello"


def test_who_leaves_while_a_night_saves_is_not_waited_for(rig: Rig) -> None:
    with lock.hold(rig.home.night_lock, "a night"):
        rig.start("serve.wait=60s")
        job = rig.ask()
        until(lambda: rig.holds)
        job.cancelled.set()
        with pytest.raises(Busy, match="went away"):
            job.done.result(5)
        assert not lock.is_held(rig.home.session_lock)


def test_it_answers_while_another_conversation_has_the_device_and_takes_it_afterwards(rig: Rig) -> None:
    """`session begin -- robot`, and the robot asks the server."""
    with lock.hold(rig.home.session_lock, "a conversation (robot)"):
        rig.start()
        assert rig.said() == "I heard hello" and not rig.holds
    until(lambda: rig.holds)


def test_a_night_that_was_first_when_that_conversation_ended_has_the_board(rig: Rig, parrot) -> None:
    with lock.hold(rig.home.session_lock, "a conversation (robot)"):
        rig.start()
        rig.said()
        night = lock.hold(rig.home.night_lock, "a night")
        night.__enter__()
    until(lambda: parrot.closed)
    assert not lock.is_held(rig.home.session_lock), "nobody asks: nothing tells the night to give way"
    night.__exit__(None, None, None)
    assert rig.said("again") == "I heard again"


def test_no_more_wait_than_may(rig: Rig, parrot) -> None:
    go, begun = threading.Event(), threading.Event()
    parrot.before = lambda _: (begun.set(), go.wait(10))
    rig.start("serve.queue=2")
    jobs = [rig.ask("one")]
    assert begun.wait(10)
    jobs += [rig.ask("two"), rig.ask("three")]
    assert not rig.engine.submit(Job([{"role": "user", "content": "four"}], Options(5)))
    assert rig.count("waiting_requests") == 2
    go.set()
    assert [job.done.result(10)[0].text for job in jobs] == ["I heard one", "I heard two", "I heard three"]


def test_stopping_ends_the_answer_and_refuses_who_waits(rig: Rig, parrot) -> None:
    go, begun = threading.Event(), threading.Event()
    parrot.before = lambda _: (begun.set(), go.wait(10))
    rig.start()
    running = rig.ask("one")
    assert begun.wait(10)
    waiting = rig.ask("two")
    threading.Timer(0.1, go.set).start()
    rig.engine.stop()
    assert running.done.result(0)[0].finish == "cancelled" and running.done.result(0)[1] is False
    with pytest.raises(Busy, match="stopping"):
        waiting.done.result(0)
    assert not rig.engine.submit(Job([], Options(1)))
    assert not lock.is_held(rig.home.session_lock) and not rig.home.sessions.exists()


def test_only_the_weights_that_were_asked_for_answer(rig: Rig) -> None:
    rig.start()
    with pytest.raises(Others, match="0123456789abcdef does not answer now: the base as it is does"):
        rig.ask(adapter="0123456789abcdef").done.result(10)


@pytest.mark.parametrize("error, named", [(RuntimeError("what is this"), RuntimeError), (MemoryError(), DoesNotFit)])
def test_after_an_unknown_failure_the_model_is_loaded_anew(rig: Rig, parrot, error: Exception, named: type) -> None:
    def fail(_: str) -> None:
        raise error

    rig.start()
    parrot.before = fail
    with pytest.raises(named):
        rig.said()
    assert parrot.closed
    parrot.before = lambda _: None
    assert rig.said() == "I heard hello" and rig.count("load_seconds_count") == 2


def test_what_cannot_be_loaded_is_raised_at_the_start(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.errors import IntegrityError
    from edge_sleep.serve import session

    def changed(*_):
        raise IntegrityError("the base changed since this home began")

    monkeypatch.setattr(session, "base_of", changed)
    with pytest.raises(IntegrityError, match="the base changed"):
        rig.start()
    assert not lock.is_held(rig.home.session_lock)


def test_what_cannot_be_loaded_later_is_named_until_it_can(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.errors import IntegrityError
    from edge_sleep.serve import session
    good = session.base_of

    def changed(*_):
        raise IntegrityError("the base changed since this home began")

    rig.start()
    rig.clock.advance(100)
    until(lambda: rig.engine.state.identity is None)
    monkeypatch.setattr(session, "base_of", changed)
    with pytest.raises(IntegrityError):
        rig.said()
    assert "the base changed" in rig.engine.state.failure and not lock.is_held(rig.home.session_lock)
    monkeypatch.setattr(session, "base_of", good)
    assert rig.said() == "I heard hello" and rig.engine.state.failure is None


def test_a_full_disk_loses_no_answer_and_is_named_until_it_is_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.serve import transcript
    write = transcript.write_json

    def full(*_):
        raise StorageError("no space left")

    rig.start()
    monkeypatch.setattr(transcript, "write_json", full)
    answer, recorded = rig.ask().done.result(10)
    assert answer.text == "I heard hello" and recorded is False
    assert any("not kept: no space left" in problem for problem in rig.engine.state.problems) and rig.count("problems") == 1
    monkeypatch.setattr(transcript, "write_json", write)
    assert rig.ask("again").done.result(10)[1] is True and rig.engine.state.problems == ()
    assert rig.count("recorded_exchanges_total") == 1
