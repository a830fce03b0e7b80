"""Whole micro-nights with a power mode: changed for training and judging only, and nothing trained is lost to a refusal."""
from __future__ import annotations

import os
import signal

import pytest

from edge_sleep.device.power.actuator import PowerError, UnknownName
from edge_sleep.system import intent
from edge_sleep.system.events import read_events
from edge_sleep.system.home import Home
from edge_sleep.system.intent import Change
from tests import micro

pytestmark = pytest.mark.night


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture
def sleep(bench, model, tmp_path, monkeypatch):
    """A night of one home; the mode at each of its events, by the event's kind and name."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    micro.write_talk(tmp_path / "talk")
    seen: dict[str, str] = {}

    def night(*sets, at_step=lambda: None, **request):
        def listen(event):
            seen.setdefault(f"{event['event']} {event.get('name', '')} {event.get('state', '')}".strip(), bench.board.mode)
            if event["event"] == "step":
                at_step()

        return micro.night(tmp_path / "home", model, tmp_path / "talk", *sets, listener=listen, **request)

    return Home(tmp_path / "home"), night, seen


def power_events(home, record):
    return [(event.get("setting"), event["state"]) for event in read_events(home.night(record["night"]) / "events.jsonl")
            if event["event"] == "power"]


def test_the_mode_is_for_the_work_and_every_change_is_told(bench, sleep):
    home, night, seen = sleep
    record = night("power.mode=15W")
    assert record["outcome"] == "promoted"
    assert (seen["phase select begin"], seen["phase train begin"], seen["phase judge begin"]) == ("25W", "15W", "15W")
    assert bench.board.mode == "25W" and bench.history == ["0", "1"]
    assert power_events(home, record) == [("mode", "set"), ("mode", "restored")]
    assert record["environment"]["power"][0] == {"setting": "mode", "state": "set", "before": "25W", "now": "15W",
                                                 "reason": "by nvpmodel, as root"}


def test_a_night_without_work_changes_nothing(bench, sleep):
    _, night, _ = sleep
    assert night("power.mode=15W", "data.min_new=50")["outcome"] == "nothing_to_do"
    assert night("power.mode=15W", dry_run=True)["reason"].startswith("dry run")
    assert bench.history == []


def test_a_name_the_board_has_not_begins_no_night(bench, sleep):
    home, night, _ = sleep
    with pytest.raises(UnknownName, match="it offers 15W, 25W, MAXN_SUPER, 7W"):
        night("power.mode=9W")
    assert not any(home.nights.iterdir())


def test_a_stopped_night_puts_back_and_a_refusal_costs_it_nothing(bench, sleep):
    home, night, _ = sleep
    stopped = night("power.mode=15W", at_step=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert (stopped["outcome"], stopped["exit_code"], bench.board.mode) == ("preempted", 128 + signal.SIGTERM, "25W")

    (bench.board.root / "nvpmodel/golden").touch()
    with pytest.raises(PowerError, match="did not take it and is at 25W"):
        night("power.mode=15W")
    assert bench.board.mode == "25W" and not home.power_intent.exists()
    (bench.board.root / "nvpmodel/golden").unlink()
    ended = night("power.mode=15W")
    assert (ended["outcome"], ended["night"], bench.board.mode) == ("promoted", stopped["night"], "25W")


def test_the_next_start_puts_back_and_says_so(bench, sleep):
    home, night, _ = sleep
    home.make()
    intent.write(home.power_intent, [Change("mode", "nvpmodel", "25W", "MAXN_SUPER")])
    (bench.board.root / "nvpmodel/current").write_text("2\n")
    record = night("data.min_new=50")
    assert bench.board.mode == "25W" and not home.power_intent.exists()
    assert power_events(home, record) == [("mode", "restored")]

    home.power_intent.write_text("{")
    record = night("data.min_new=50")
    assert record["outcome"] == "nothing_to_do" and power_events(home, record) == [(None, "damaged")]
