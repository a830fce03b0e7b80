"""What holds tonight, and which machine is let go without telemetry."""
from __future__ import annotations

import pytest

from edge_sleep.config import Power, Thermal
from edge_sleep.device import profile
from edge_sleep.device.doctor.heat import Trips
from edge_sleep.errors import ConfigError, DeviceError
from edge_sleep.train.governor import Limits
from edge_sleep.train.limits import check_seen, limits

ORIN, CPU = profile.load("orin-nano-8gb"), profile.load("cpu")


@pytest.mark.parametrize(("board", "thermal", "power", "expected", "words"), [
    (ORIN, {}, {}, (83.0, 78.0, None, None), "orin-nano-8gb"), (CPU, {}, {}, (None, None, None, None), "nothing is limited"),
    (CPU, {"ceiling_celsius": 80.0}, {}, (80.0, None, None, None), "configured"),
    (ORIN, {"ceiling_celsius": 75.0}, {}, (75.0, None, None, None), "75 degrees"),
    (ORIN, {"release_celsius": 70.0}, {}, (83.0, 70.0, None, None), "83 degrees"),
    (ORIN, {}, {"cap_watts": 15.0, "energy_joules": 3e4}, (83.0, 78.0, 15.0, 3e4), "15 W, 30000 J")])
def test_configuration_over_profile(board, thermal, power, expected, words):
    found, why = limits(Thermal(**thermal), Power(**power), board)
    assert (found.ceiling, found.release, found.cap_watts, found.energy_joules) == expected
    assert words in why


def test_without_a_release_a_pause_ends_five_degrees_below():
    assert limits(Thermal(ceiling_celsius=75.0), Power(), ORIN)[0].released == 70.0


@pytest.mark.parametrize(("thermal", "words"), [
    ({"ceiling_celsius": 98.5}, "99 degrees the kernel"), ({"release_celsius": 83.0}, "below the ceiling"),
    ({"ceiling_celsius": 70.0, "release_celsius": 75.0}, "the ceiling is 70")])
def test_limits_that_contradict_each_other_are_named(thermal, words):
    with pytest.raises(ConfigError, match=words):
        limits(Thermal(**thermal), Power(), ORIN)
    with pytest.raises(ConfigError, match="not set"):
        limits(Thermal(release_celsius=50.0), Power(), CPU)


@pytest.mark.parametrize(("trips", "ceiling", "words"), [
    (Trips(99.0, 104.5), 83.0, "orin-nano-8gb)"), (Trips(80.0, 90.0), 78.0, "below the kernel's 80"),
    (Trips(None, 84.0), 82.0, "below the kernel's 84"), (Trips(17.0, 104.5), 83.0, "orin-nano-8gb)")])
def test_a_profile_gives_way_to_where_this_kernel_acts(trips, ceiling, words):
    found, why = limits(Thermal(), Power(), ORIN, trips)
    assert (found.ceiling, words in why) == (ceiling, True)
    assert found.released < ceiling


def test_what_was_asked_for_does_not_give_way_it_is_refused():
    with pytest.raises(ConfigError, match="80 degrees the kernel"):
        limits(Thermal(ceiling_celsius=83.0), Power(), ORIN, Trips(80.0, None))


@pytest.mark.parametrize(("given", "on_jetson", "refused"), [
    (Limits(), False, False), (Limits(), True, False), (Limits(ceiling=83.0), False, False), (Limits(ceiling=83.0), True, True),
    (Limits(cap_watts=15.0), False, True), (Limits(energy_joules=1e4), True, True)])
def test_a_board_that_should_be_read_and_cannot_is_not_risked(given, on_jetson, refused):
    if refused:
        with pytest.raises(DeviceError, match="no thermal zone"):
            check_seen(given, "no thermal zone", on_jetson)
    else:
        assert "no thermal zone" in check_seen(given, "no thermal zone", on_jetson)
