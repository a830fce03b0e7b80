"""The metabolic state: its table, what is published, what the locks correct, SAGE's own files."""
from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from edge_sleep.errors import IntegrityError
from edge_sleep.schedule import metabolic
from edge_sleep.schedule.circadian import Phase
from edge_sleep.schedule.metabolic import Event, Seen, State
from edge_sleep.system import lock, state
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.events import EventLog
from edge_sleep.system.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


def publish(home: Home, *events: Event, clock: ManualClock | None = None) -> State:
    for event in events:
        state.publish(home, event, event.value, "test", clock or ManualClock())
    return json.loads(home.metabolic.read_text())["state"]


def test_the_table_answers_every_event_in_every_state() -> None:
    assert set(metabolic.TRANSITIONS) == {(before, event) for before in State for event in Event}


def test_only_a_night_or_what_clears_it_leads_out_of_a_crisis() -> None:
    assert {event for event in Event if metabolic.TRANSITIONS[State.CRISIS, event] is not State.CRISIS} == {
        Event.CLEAR, Event.NIGHT_BEGINS}
    assert all(metabolic.TRANSITIONS[before, Event.TROUBLE] is State.CRISIS for before in State)


def test_a_dream_is_over_only_with_its_night() -> None:
    assert {event for event in Event if metabolic.TRANSITIONS[State.DREAM, event] is not State.DREAM} == {
        Event.NIGHT_ENDS, Event.TROUBLE}


def test_every_state_is_reached_from_waking() -> None:
    reached = {State.WAKE}
    while (more := {metabolic.TRANSITIONS[one, event] for one in reached for event in Event}) - reached:
        reached |= more
    assert reached == set(State)


def test_an_unpublished_home_is_awake(home: Home) -> None:
    assert metabolic.read(home).state is State.WAKE and metabolic.read(str(home.root)).since is None


def test_what_is_published_is_one_small_document(home: Home) -> None:
    with lock.hold(home.night_lock, "a night"):
        assert publish(home, Event.DARK, Event.NIGHT_BEGINS) == "DREAM"
        document = json.loads(home.metabolic.read_text())
        assert set(document) == {"format", "state", "since", "reason", "cause", "by", "pid"} and len(home.metabolic.read_bytes()) < 400
        assert metabolic.read(home).state is State.DREAM


def test_what_a_killed_process_left_is_corrected_by_its_lock(home: Home) -> None:
    with lock.hold(home.night_lock, "a night"):
        publish(home, Event.NIGHT_BEGINS)
    assert metabolic.read(home).state is State.WAKE                    # the file says DREAM, and nobody dreams
    with lock.hold(home.session_lock, "a talk"):
        assert publish(home, Event.SESSION_BEGINS) == "FOCUS"
    assert metabolic.read(home).state is State.WAKE
    assert publish(home, Event.DARK) == "REST"


def test_a_conversation_is_focus_whoever_published_what(home: Home) -> None:
    publish(home, Event.DARK)
    with lock.hold(home.session_lock, "a robot"):
        found = metabolic.read(home)
    assert found.state is State.FOCUS and "a robot" in found.reason and metabolic.read(home).state is State.REST


def test_what_says_nothing_new_is_not_written(home: Home) -> None:
    clock = ManualClock()
    publish(home, Event.LIGHT, clock=clock)
    written = home.metabolic.stat().st_mtime_ns
    clock.advance(60)
    publish(home, Event.LIGHT, Event.SESSION_ENDS, Event.CLEAR, clock=clock)
    assert home.metabolic.stat().st_mtime_ns == written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "SLEEPY"}', '{"state": "WAKE"}'])
def test_a_file_that_says_nothing_is_written_anew(home: Home, text: str) -> None:
    home.metabolic.write_text(text)
    assert metabolic.read(home).state is State.WAKE
    assert publish(home, Event.DARK) == "REST"


@pytest.mark.parametrize("phase, session, expected", [
    (Phase.DAY, False, "WAKE"), (Phase.DUSK, False, "REST"), (Phase.DEEP_NIGHT, False, "REST"), (Phase.DAWN, False, "WAKE"),
    (Phase.NIGHT, True, "FOCUS"), (Phase.DAY, True, "FOCUS")])
def test_the_watcher_publishes_what_it_sees(home: Home, phase: Phase, session: bool, expected: str) -> None:
    with lock.hold(home.session_lock, "a talk") if session else lock.hold(home.state / "other.lock", ""):
        assert metabolic.watch_over(home, Seen(phase, session, False), ManualClock()).state.value == expected
        assert metabolic.read(home).state.value == expected
    assert metabolic.watch_over(home, Seen(Phase.DAY, False, False), ManualClock()).state is State.WAKE


@pytest.mark.parametrize("cause, phase, hours, after", [
    ("heat", Phase.NIGHT, 0.9, "CRISIS"), ("heat", Phase.NIGHT, 1.1, "REST"), ("memory", Phase.NIGHT, 9, "CRISIS"),
    ("memory", Phase.DAWN, 0.1, "WAKE"), ("integrity", Phase.DAY, 90, "CRISIS")])
def test_what_ends_a_crisis(home: Home, cause: str, phase: Phase, hours: float, after: str) -> None:
    clock = ManualClock()
    state.publish(home, Event.TROUBLE, "told", "a night", clock, cause)
    assert metabolic.read(home).cause == cause
    clock.wall += timedelta(hours=hours)
    assert metabolic.watch_over(home, Seen(phase, False, False), clock).state.value == after
    with lock.hold(home.night_lock, "a night"):
        assert publish(home, Event.NIGHT_BEGINS) == "DREAM" and metabolic.read(home).cause is None


def told(home: Home, *events: dict) -> list[str]:
    """The states that a night's events publish, one after each."""
    heard: list[dict] = []
    log = EventLog(None, ManualClock(), state.telling(home, "n", ManualClock(), heard.append))
    found = []
    with lock.hold(home.night_lock, "a night"):
        for event in events:
            log(**event)
            found.append(metabolic.read(home).state.value)
    assert [entry["event"] for entry in heard] == [event["event"] for event in events]
    return found


def phase(name: str) -> dict:
    return {"event": "phase", "name": name, "state": "begin"}


def pace(action: str, cause: str) -> dict:
    return {"event": "pace", "action": action, "cause": cause, "reason": f"{action} for {cause}"}


def end(outcome: str) -> dict:
    return {"event": "night", "state": "end", "outcome": outcome, "reason": "told"}


@pytest.mark.parametrize("outcome, after", [
    ("promoted", "WAKE"), ("preempted", "WAKE"), ("stopped_time", "WAKE"), ("failed", "WAKE"), ("stopped_heat", "CRISIS"),
    ("does_not_fit", "CRISIS"), ("integrity", "CRISIS")])
def test_a_night_dreams_while_it_has_the_memory(home: Home, outcome: str, after: str) -> None:
    assert told(home, {"event": "night", "state": "begin"}, phase("ingest"), phase("plan"), phase("train"), phase("judge"),
                end(outcome)) == ["WAKE", "WAKE", "WAKE", "DREAM", "DREAM", after]


@pytest.mark.parametrize("cause, after", [("heat", "CRISIS"), ("throttled", "CRISIS"), ("telemetry_lost", "CRISIS"), ("power", "DREAM")])
def test_a_pause_for_heat_is_a_crisis_that_passes(home: Home, cause: str, after: str) -> None:
    assert told(home, phase("train"), pace("pause", cause), pace("slow", "heat"), end("promoted")) == ["DREAM", after, "DREAM", "WAKE"]


def test_a_night_that_ends_in_a_pause_takes_its_crisis_along_only_where_it_ends_by_it(home: Home) -> None:
    assert told(home, phase("train"), pace("pause", "heat"), end("preempted")) == ["DREAM", "CRISIS", "WAKE"]
    assert told(home, phase("train"), pace("pause", "heat"), end("stopped_heat")) == ["DREAM", "CRISIS", "CRISIS"]


def test_nothing_to_do_is_no_dream(home: Home) -> None:
    assert told(home, phase("ingest"), phase("select"), end("nothing_to_do")) == ["WAKE", "WAKE", "WAKE"]
    assert not home.metabolic.exists()


def test_a_full_disk_does_not_break_the_night(home: Home, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("edge_sleep.system.files.os.replace", full)
    assert told(home, phase("train"), end("promoted")) == ["WAKE", "WAKE"]


UPSTREAM = {"last_shutdown": 1771441200.5, "machine": "sprout", "instance": "sprout-qwen3.5-0.8b", "uptime_seconds": 86000.0,
            "cycles_completed": 123, "metabolic_state": "dream", "atp_level": 57.25, "message_stats": {}, "trust_weights": {}}


def test_sage_s_own_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "daemon_state_sprout.json").write_text(json.dumps(UPSTREAM))
    file = metabolic.upstream(tmp_path)
    assert file is not None
    found = metabolic.from_upstream(file)
    assert (found.state, found.since) == (State.DREAM, "2026-02-18T19:00:00+00:00") and "sprout" in found.reason
    assert metabolic.upstream(tmp_path / "none") is None


@pytest.mark.parametrize("change", [{"metabolic_state": "asleep"}, {"metabolic_state": None}, {"metabolic_state": {}}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, change: dict) -> None:
    file = tmp_path / "daemon_state.json"
    for document in ({**UPSTREAM, **change}, [], "dream"):
        file.write_text(json.dumps(document))
        with pytest.raises(IntegrityError, match="daemon_state"):
            metabolic.from_upstream(file)


@pytest.mark.parametrize("when", [None, "yesterday", True, -1, 1e300])
def test_a_time_that_is_none_is_left_out(tmp_path: Path, when: object) -> None:
    (tmp_path / "daemon_state.json").write_text(json.dumps({**UPSTREAM, "last_shutdown": when}))
    assert metabolic.from_upstream(tmp_path / "daemon_state.json").since is None


AWAKE = Seen(Phase.DAY, session=False, night=False)


@pytest.mark.parametrize("state_now, seen, events", [
    (State.DREAM, AWAKE, [Event.NIGHT_ENDS, Event.LIGHT]), (State.DREAM, Seen(Phase.NIGHT, False, True), [Event.DARK]),
    (State.FOCUS, AWAKE, [Event.SESSION_ENDS, Event.LIGHT]), (State.FOCUS, Seen(Phase.DUSK, True, False), [Event.SESSION_BEGINS, Event.DARK]),
    (State.WAKE, Seen(Phase.DEEP_NIGHT, True, True), [Event.DARK]), (State.WAKE, Seen(Phase.DAWN, False, False), [Event.LIGHT])])
def test_what_is_seen_stands_for_events(state_now: State, seen: Seen, events: list[Event]) -> None:
    now = state.Metabolic(state_now, "2026-06-10T22:00:00+00:00", "of a test")
    found = list(metabolic.steps(now, seen, ManualClock().now()))
    assert [event for event, _ in found] == events and all(reason for _, reason in found)
