"""How far a board is from its ceiling, and from what the kernel does by itself."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device.doctor.heat import Trips, check_headroom, read_trips
from edge_sleep.device.profile import Thermal
from tests.device.doctor.machines import put, zone

CEILING = Thermal(ceiling_celsius=83, throttle_celsius=99)


def test_trips_are_the_lowest_of_their_kind(jetson: Path) -> None:
    assert read_trips(jetson) == Trips(99.0, 104.5)
    zone(jetson, 2, "gpu", 44000, active=50000, passive=97000, hot=98000, critical=103000)
    assert read_trips(jetson) == Trips(97.0, 103.0)


def test_what_is_no_trip_is_left_out(tmp_path: Path) -> None:
    folder = zone(tmp_path, 0, "x86_pkg", 40000, passive=-274000, critical=2147483647)
    put(folder / "trip_point_2_type", "critical")
    assert read_trips(tmp_path) == Trips() == read_trips(tmp_path / "nothing")


def test_a_warning_not_to_touch_it_is_no_throttle(tmp_path: Path) -> None:
    folder = zone(tmp_path, 0, "tj", 45000, passive=70000, critical=104500)
    for number, kind in enumerate(("hot-surface-alert", "gpu-throttle-alert")):
        put(tmp_path / f"sys/class/thermal/cooling_device{number}/type", kind)
    (folder / "cdev0").symlink_to(tmp_path / "sys/class/thermal/cooling_device0")
    put(folder / "cdev0_trip_point", 0)
    assert read_trips(tmp_path) == Trips(None, 104.5)
    (folder / "cdev1").symlink_to(tmp_path / "sys/class/thermal/cooling_device1")
    put(folder / "cdev1_trip_point", 0)
    assert read_trips(tmp_path) == Trips(70.0, 104.5)


@pytest.mark.parametrize("hottest, thermal, trips, status, words", [
    (45.0, CEILING, Trips(99.0, 104.5), "ok",
     "38.0 degrees from tj at 45.0 to the profile's ceiling, 83; the kernel slows at 99; the kernel shuts down at 104.5"),
    (68.0, CEILING, Trips(99.0, 104.5), "ok", "15.0 degrees"), (68.5, CEILING, Trips(99.0, 104.5), "warn", "14.5 degrees"),
    (91.0, CEILING, Trips(), "warn", "-8.0 degrees"),
    (45.0, Thermal(ceiling_celsius=98), Trips(97.0), "warn", "the kernel acts before the ceiling of 98"),
    (60.0, CEILING, Trips(70.0), "warn", "10.0 degrees from tj at 60.0 to where the kernel slows the clocks, 70"),
    (60.0, Thermal(), Trips(99.0), "ok", "to where the kernel slows the clocks, 99"),
    (60.0, Thermal(), Trips(None, 104.5), "skip", "no ceiling is known; the kernel shuts down at 104.5"),
    (60.0, Thermal(), Trips(), "skip", "tj at 60.0 degrees; no ceiling is known")])
def test_headroom(hottest, thermal, trips, status, words) -> None:
    line = check_headroom({"cpu": hottest - 2, "tj": hottest}, thermal, trips)
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status == "warn"), line


def test_nothing_is_felt() -> None:
    assert check_headroom({}, CEILING, Trips(99.0)) is None
