"""Which source is read, and why: the kernel's files before a service, nothing only with the reason."""
from __future__ import annotations

import pytest

from edge_sleep.device.telemetry.choose import choose
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.replay import line
from edge_sleep.errors import DeviceError


class Given:
    def __init__(self, name, why=None):
        self.name, self.why, self.closed = name, why, False

    def available(self):
        return self.why

    def read(self):
        return Reading(0.0, self.name)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(("asked", "no_files", "no_service", "chosen", "words"), [
    ("auto", None, None, "sysfs", "the kernel's own files"),
    ("auto", "no zone", None, "jtop", "no zone, the jtop service answers"),
    ("auto", "no zone", "no socket", None, "no zone; no socket"),
    ("sysfs", None, None, "sysfs", "asked for"),
    ("jtop", None, None, "jtop", "asked for"),
    ("none", None, None, None, "are not minded")])
def test_the_choice_and_its_reason(asked, no_files, no_service, chosen, words):
    jtop = Given("jtop", no_service)
    source, why = choose(asked, sysfs=Given("sysfs", no_files), jtop=jtop)
    assert (source.name if source else None, words in why) == (chosen, True)
    assert jtop.closed == (asked == "auto" and bool(no_files) and bool(no_service))


@pytest.mark.parametrize(("asked", "words"), [("sysfs", "no zone"), ("jtop", "no socket")])
def test_what_was_asked_for_by_name_is_not_replaced_by_something_else(asked, words):
    with pytest.raises(DeviceError, match=words):
        choose(asked, sysfs=Given("sysfs", "no zone"), jtop=Given("jtop", "no socket"))


def test_a_recording_is_a_source(tmp_path):
    file = tmp_path / "telemetry.jsonl"
    file.write_text(line(Reading(0.0, "sysfs", zones={"tj": 40.0})))
    source, why = choose(str(file))
    assert (source.read().zones, str(file) in why) == ({"tj": 40.0}, True)
    with pytest.raises(DeviceError, match="no recording"):
        choose(str(tmp_path / "elsewhere"))
