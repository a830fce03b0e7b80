"""What the board feels, as a line and as the document shows it."""
from __future__ import annotations

import pytest

from edge_sleep.device.doctor.sensors import check_sensors
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.sysfs import Sysfs


class Sensors(Sysfs):
    """A board that feels what it is told."""

    def __init__(self, **felt):
        super().__init__()
        self.felt = felt

    def available(self) -> str | None:
        return None

    def read(self) -> Reading:
        return Reading(0.0, "sysfs", **self.felt)


WARM = {"zones": {"cpu": 41.0, "tj": 45.5}, "gated": ("gpu",), "watts": 5.25, "watts_of": "VDD_IN"}


@pytest.mark.parametrize(("felt", "status", "words"), [
    (WARM, "ok", "2 thermal zones by sysfs (because), hottest tj at 45.5 degrees, 1 powered off; 5.2 W (VDD_IN)"),
    ({**WARM, "watts": None}, "ok", "2 thermal zones by sysfs (because), hottest tj at 45.5 degrees, 1 powered off"),
    ({**WARM, "lost": ("rail VDD_IN: Input/output error",)}, "warn", "lost: rail VDD_IN: Input/output error"),
    ({**WARM, "throttling": ("gpu",), "lost": ("x",)}, "warn", "the kernel throttles: gpu")])
def test_what_the_board_feels_is_told(felt, status, words):
    check, told = check_sensors(Sensors(**felt), "because")
    assert (check.status, words in check.found, bool(check.do)) == (status, True, status != "ok")
    assert told == {"source": "sysfs", "celsius": WARM["zones"], "watts_total": felt["watts"]}


def test_a_machine_without_sensors_is_skipped_with_its_reason():
    check, told = check_sensors(None, "no thermal zone; no jtop service")
    assert check.status == "skip" and "no thermal zone; no jtop service" in check.found
    assert told == {"source": "none", "celsius": {}, "watts_total": None}
