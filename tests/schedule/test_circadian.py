"""Phases and windows on the real clock, and every reason for and against a night."""
from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from itertools import product
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep import config
from edge_sleep.errors import ConfigError
from edge_sleep.schedule import circadian
from edge_sleep.schedule.circadian import Facts, Phase, Rules, Windows, should_train

BERLIN = ZoneInfo("Europe/Berlin")
USUAL = Windows()
GOOD = Facts(Phase.NIGHT, left=7200.0, new=10, since_last=6 * 3600.0, load=0.1, free=4 << 30, power="mains")


def at(text: str, zone=BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)


@pytest.mark.parametrize("shown, phase", [
    ("05:59", Phase.DEEP_NIGHT), ("06:00", Phase.DAWN), ("07:59", Phase.DAWN), ("08:00", Phase.DAY), ("19:59", Phase.DAY),
    ("20:00", Phase.DUSK), ("21:59", Phase.DUSK), ("22:00", Phase.NIGHT), ("00:59", Phase.NIGHT), ("01:00", Phase.DEEP_NIGHT)])
def test_the_phases_of_an_ordinary_day(shown: str, phase: Phase) -> None:
    assert circadian.phase_at(USUAL, BERLIN, at(f"2026-06-10 {shown}")) is phase


@pytest.mark.parametrize("evening, hours", [("2026-03-28", 7), ("2026-10-24", 9), ("2026-06-10", 8)])
def test_a_night_is_as_long_as_the_clock_change_makes_it(evening: str, hours: int) -> None:
    night = circadian.night(USUAL, BERLIN, date.fromisoformat(evening))
    assert night.ends - night.begins == timedelta(hours=hours)


def test_a_window_that_begins_in_an_hour_that_is_left_out() -> None:
    windows = Windows(night=time(2, 30), deep_night=time(4))
    night = circadian.night(windows, BERLIN, date(2026, 3, 29))
    assert night.begins == at("2026-03-29 03:00") and night.deepens == at("2026-03-29 04:00")
    lost = Windows(night=time(2, 10), deep_night=time(2, 30), dawn=time(2, 50))
    gone = circadian.night(lost, BERLIN, date(2026, 3, 29))
    assert gone.begins == gone.ends                                # no night that date, and the next is found
    assert next(circadian.nights_from(lost, BERLIN, at("2026-03-29 01:00"))).date == date(2026, 3, 30)


def test_a_window_in_a_repeated_hour_is_one_window() -> None:
    windows = Windows(night=time(2, 30), deep_night=time(4))
    assert circadian.night(windows, BERLIN, date(2026, 10, 25)).begins == at("2026-10-25 02:30", fold=0)
    assert circadian.phase_at(windows, BERLIN, at("2026-10-25 02:10", fold=1)) is Phase.NIGHT


@pytest.mark.parametrize("name", ["Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca"])
def test_windows_of_odd_zones_follow_each_other(name: str) -> None:
    zone, of = ZoneInfo(name), date(2011, 12, 1)                   # Apia left out the 30th of that month
    nights = [circadian.night(USUAL, zone, of + timedelta(days=day)) for day in range(400)]
    assert all(one.begins <= one.ends <= other.begins for one, other in zip(nights, nights[1:], strict=False))


minutes = st.integers(0, 1439)
starts = st.lists(minutes, min_size=5, max_size=5, unique=True).map(sorted)


@given(starts, st.integers(0, 4), st.sampled_from(sorted(available_timezones())),
       st.datetimes(datetime(2026, 1, 1), datetime(2040, 1, 1), timezones=st.just(timezone.utc)))
def test_an_instant_is_dark_exactly_within_a_window(begin, turn, name, instant) -> None:
    turned = [time(*divmod(minute, 60)) for minute in begin[turn:] + begin[:turn]]
    windows, zone = Windows(*turned), ZoneInfo(name)
    near = [circadian.night(windows, zone, instant.astimezone(zone).date() + timedelta(days=days)) for days in (-2, -1, 0, 1)]
    within = [night for night in near if instant in night]
    assert len(within) <= 1
    assert circadian.phase_at(windows, zone, instant).dark == bool(within)
    assert circadian.night_at(windows, zone, instant) == (within[0] if within else None)
    coming = next(circadian.nights_from(windows, zone, instant))
    assert coming == within[0] if within else coming.begins > instant
    shown = coming.begins.astimezone(zone)
    before = (coming.begins - timedelta(minutes=1)).astimezone(zone)
    assert shown.time().replace(second=0) == windows.night or before.utcoffset() != shown.utcoffset()   # or the change swallowed it


def test_a_night_that_should_begin_says_all_that_holds() -> None:
    decision = should_train(GOOD, Rules())
    assert decision and {reason.name for reason in decision.reasons} == {
        "clock", "phase", "time", "once", "experiences", "apart", "night", "session", "idle", "disk", "power"}
    assert decision.against == ()


WORSE = {
    "clock": {"doubt": "the clock says 1970"}, "phase": {"phase": Phase.DAY}, "time": {"left": 899.0}, "once": {"over": "promoted"},
    "experiences": {"new": 9}, "apart": {"since_last": 6 * 3600.0 - 1}, "night": {"running": "a night"},
    "session": {"session": "a conversation"}, "idle": {"load": 0.51}, "disk": {"free": (2 << 30) - 1}, "power": {"power": "battery"},
    "pause": {"wait": 60.0}}


@pytest.mark.parametrize("name", WORSE)
def test_each_condition_alone_refuses_by_its_name(name: str) -> None:
    decision = should_train(replace(GOOD, **WORSE[name]), Rules())
    assert not decision and [reason.name for reason in decision.against] == [name]
    assert decision.against[0].text == str(decision)


def test_every_reason_is_named_not_the_first() -> None:
    names = list(WORSE)
    changes: dict = {}
    for name in names:
        changes |= WORSE[name]
    against = [reason.name for reason in should_train(replace(GOOD, **changes), Rules()).against]
    assert sorted(against) == sorted(set(names) - {"time"})           # by day there is no time until dawn to speak of


@given(st.sets(st.sampled_from(sorted(WORSE))))
def test_it_says_yes_exactly_when_nothing_stands_against_it(names) -> None:
    changes: dict = {}
    for name in names:
        changes |= WORSE[name]
    assert should_train(replace(GOOD, **changes), Rules()).yes == (not names)


def test_what_nobody_knows_refuses_nothing_but_the_count() -> None:
    assert should_train(Facts(Phase.DEEP_NIGHT, left=3600, new=10), Rules())
    assert [r.name for r in should_train(Facts(Phase.DEEP_NIGHT, left=3600), Rules()).against] == ["experiences"]


def test_a_night_that_is_gone_on_with_needs_neither_experiences_nor_distance() -> None:
    facts = replace(GOOD, new=0, since_last=60.0, going_on="it gave way")
    assert should_train(facts, Rules()) and not should_train(replace(facts, session="a conversation"), Rules())


def test_a_battery_may_be_allowed() -> None:
    assert should_train(replace(GOOD, power="battery"), Rules(on_battery=True))


def test_the_settings_are_read_as_they_look(tmp_path) -> None:
    (tmp_path / "edge-sleep.yaml").write_text("schedule:\n  night: 23:30\n  dawn: 5:00\n  timezone: Asia/Kolkata\n")
    schedule = config.load(tmp_path / "edge-sleep.yaml").schedule
    assert (schedule.night, schedule.dawn) == (time(23, 30), time(5))
    assert circadian.zone_of(schedule.timezone) == ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize("key, value", [("night", "1320"), ("night", "24:00"), ("night", "22.00"), ("dawn", "23:00"), ("day", "05:00"),
                                        ("least", "20h"), ("apart", "6"), ("webhook", "ftp://x"), ("dusk", "null")])
def test_settings_that_make_no_day_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match="schedule"):
        config.load(None, [f"schedule.{key}={value}"])


def test_all_five_phases_in_every_order_but_the_right_one_are_refused() -> None:
    hours = ("06:00", "08:00", "20:00", "22:00", "01:00")
    good = 0
    for order in product(hours, repeat=5):
        try:
            config.Schedule(**dict(zip(("dawn", "day", "dusk", "night", "deep_night"), order, strict=True)))
            good += 1
        except ValueError:
            continue
    assert good == 5                                                # the turns of the right one


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "Europe"])
def test_an_unknown_zone_is_a_problem_of_the_configuration(name: str) -> None:
    with pytest.raises(ConfigError, match="schedule.timezone"):
        circadian.zone_of(name)


def test_without_a_name_it_is_the_machine_s_zone(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert circadian.zone_of("") == ZoneInfo("America/New_York")
    monkeypatch.delenv("TZ")
    assert circadian.zone_of("", tmp_path / "none") is timezone.utc
