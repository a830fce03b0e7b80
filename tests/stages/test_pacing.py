"""What a night measures of heat over all its runs, and what the plan foretells from it."""
from __future__ import annotations

from types import SimpleNamespace

import pytest

from edge_sleep import config
from edge_sleep.device import profile
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.replay import line
from edge_sleep.stages import pacing
from edge_sleep.system.files import write_json
from edge_sleep.system.home import Home
from edge_sleep.system.record import blank
from tests import micro

pytestmark = pytest.mark.alone


def noted(*runs: dict) -> dict:
    record = blank("n", "now")
    for run in runs:
        pacing.note(SimpleNamespace(record=record, pace=SimpleNamespace(measured=lambda run=run: run)))
    return record["measured"]


def test_a_night_that_was_stopped_adds_up():
    first = {"paused_seconds": 10.0, "rests": {"heat": 10.0}, "energy_joules": 500.0, "max_celsius": 84.0}
    second = {"paused_seconds": 5.0, "rests": {"power": 5.0}, "energy_joules": 100.0, "max_celsius": 70.0}
    found = noted(first, second)
    assert (found["paused_seconds"], found["energy_joules"], found["max_celsius"]) == (15.0, 600.0, 84.0)
    assert found["rests"] == {"heat": 10.0, "power": 5.0}


def test_what_was_not_measured_stays_unknown():
    nothing = {"paused_seconds": None, "energy_joules": None, "max_celsius": None}
    found = noted(nothing, nothing)
    assert (found["paused_seconds"], found["energy_joules"], found["max_celsius"]) == (None, None, None)
    assert noted(nothing, {"paused_seconds": 1.0, "energy_joules": None, "max_celsius": 40.0})["max_celsius"] == 40.0


def test_the_plan_foretells_from_the_last_night_that_measured(tmp_path):
    home = Home(tmp_path / "home").make()
    board, settings = profile.load("orin-nano-8gb"), config.load(None)
    before = {line["name"]: line for line in pacing.ahead(home, settings, board)}
    assert (before["heat"]["value"], before["energy"]["value"]) == (None, None)
    assert "83 degrees" in before["heat"]["reason"] and "no night" in before["energy"]["reason"]
    record = blank("20261101-230000", "then")
    record["phases"] = [{"name": "train", "seconds": 1000.0, "outcome": "done"}]
    record["measured"] |= {"energy_joules": 21_000.0, "max_celsius": 82.9, "rests": {"heat": 200.0}}
    home.night("20261101-230000").mkdir(parents=True)
    write_json(home.night("20261101-230000") / "record.json", record)
    after = {line["name"]: line for line in pacing.ahead(home, settings, board)}
    assert (after["heat"]["value"], after["energy"]["value"]) == (pytest.approx(0.8), 21_000.0)
    assert "82.9" in after["heat"]["reason"]


@pytest.mark.night
@pytest.mark.long
def test_a_recorded_night_played_back_paces_another(tmp_path):
    """45 degrees for four seconds, then 95: the playback is as good as a board."""
    recording = tmp_path / "telemetry.jsonl"
    recording.write_text("".join(line(Reading(at, "sysfs", zones={"tj": celsius}, watts=10.0))
                                 for at, celsius in ((0.0, 45.0), (4.0, 95.0), (900.0, 95.0))))
    model = micro.make_model(tmp_path / "model")
    micro.write_talk(tmp_path / "talk")
    sets = (f"thermal.source={recording}", "thermal.longest_pause=1s", "train.epochs=200", "train.loss_floor=0")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", *sets, board=profile.load("orin-nano-8gb"))
    assert (record["outcome"], record["measured"]["max_celsius"]) == ("stopped_heat", 95.0)
    assert record["environment"]["telemetry"]["source"] == "replay"
    assert record["measured"]["energy_joules"] > 20.0
    cool = micro.night(tmp_path / "home", model, tmp_path / "talk", "thermal.source=none", "train.epochs=200", "train.loss_floor=0",
                       "budget.time=5m")
    assert (cool["night"], cool["outcome"]) == (record["night"], "promoted")
