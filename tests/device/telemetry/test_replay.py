"""A night of readings written and played back: nothing changes on the way, and the end is not taken for a cool board."""
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.device.telemetry.reading import Lost, Reading
from edge_sleep.device.telemetry.replay import Replay, line, parse
from edge_sleep.errors import DeviceError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
READINGS = st.builds(
    Reading, at=NUMBERS, source=st.sampled_from(["jtop", "sysfs"]), zones=st.dictionaries(NAMES, NUMBERS, max_size=3),
    gated=st.lists(NAMES, max_size=2).map(tuple), rails=st.dictionaries(NAMES, NUMBERS, max_size=3), watts=st.none() | NUMBERS,
    watts_of=NAMES, gpu_load=st.none() | NUMBERS, gpu_hertz=st.none() | st.integers(0, 2**40), power_mode=st.none() | NAMES,
    memory_available=st.none() | st.integers(0, 2**50), throttling=st.lists(NAMES, max_size=2).map(tuple),
    over_current=st.dictionaries(NAMES, st.integers(0, 2**31), max_size=2), lost=st.lists(st.builds(Lost, st.sampled_from(["zone", "rail"]), NAMES, NAMES), max_size=2).map(tuple))


@given(st.lists(READINGS, max_size=4))
def test_what_is_written_is_what_is_read(readings):
    assert parse(map(line, readings)) == sorted(readings, key=lambda reading: reading.at)


def recording(tmp_path, *seconds):
    file = tmp_path / "telemetry.jsonl"
    file.write_text("".join(line(Reading(100.0 + at, "sysfs", zones={"tj": 40.0 + at})) for at in seconds))
    return file


@pytest.mark.parametrize(("passed", "celsius"), [(0.0, 40.0), (1.9, 40.0), (2.0, 42.0), (4.9, 42.0), (5.0, 45.0)])
def test_it_passes_as_it_was_recorded(tmp_path, passed, celsius):
    now = [7.0]
    source = Replay(recording(tmp_path, 0, 2, 5), monotonic=lambda: now[0])
    source.read()
    now[0] += passed
    found = source.read()
    assert (found.at, found.source, found.zones, found.lost) == (now[0], "replay", {"tj": celsius}, ())


def test_after_its_end_nothing_is_known(tmp_path):
    now = [0.0]
    source = Replay(recording(tmp_path, 0, 2), monotonic=lambda: now[0])
    source.read()
    now[0] = 2.1
    assert (source.read().zones, source.read().lost) == ({}, (Lost("telemetry", "replay", "the recording is over"),))


def test_a_torn_last_line_is_left_out_another_one_is_named(tmp_path):
    whole = line(Reading(1.0, "sysfs"))
    assert parse([whole, whole[:20]]) == [Reading(1.0, "sysfs")]
    with pytest.raises(ValueError, match="line 1"):
        parse([whole[:20] + "\n", whole])


def test_a_field_of_a_later_version_is_left_out():
    assert parse([line(Reading(1.0, "sysfs")).replace("{", '{"humidity": 3, ', 1)]) == [Reading(1.0, "sysfs")]


@pytest.mark.parametrize("content", ["", "[]\n", "{}\n", '{"at": "noon", "source": "x"}\n', "\x00\n"])
def test_what_is_no_recording_is_refused_by_name(tmp_path, content):
    (tmp_path / "it").write_text(content)
    with pytest.raises(DeviceError, match="it "):
        Replay(tmp_path / "it")


def test_it_cannot_change_what_it_gave(tmp_path):
    source = Replay(recording(tmp_path, 0), monotonic=lambda: 0.0)
    assert replace(source.read(), at=100.0, source="sysfs") == source.readings[0]
