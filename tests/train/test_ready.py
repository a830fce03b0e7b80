"""What lies between a loaded base and its first step gives way too."""
from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_sleep.model import forwards
from edge_sleep.system import lock
from edge_sleep.system.events import read_events
from edge_sleep.system.home import Home
from tests import micro


@pytest.mark.night
def test_a_conversation_that_begins_behind_loading_waits_for_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwards, "_LOOK_SECONDS", 0.0)
    home = Home(tmp_path / "home")
    with ExitStack() as talk:
        def begin(event: dict) -> None:
            if event["event"] == "loaded":
                talk.enter_context(lock.hold(home.session_lock, "a conversation"))

        record = micro.night(home.root, micro.make_model(tmp_path / "model"), micro.write_talk(tmp_path / "talk"), listener=begin)
    assert record["outcome"] == "preempted" and "the base was being loaded" in record["reason"]
    (events,) = home.nights.glob("*/events.jsonl")
    assert [event["event"] for event in read_events(events)].count("objective") == 0
