"""The file that outlives a killed night."""
from __future__ import annotations

import json

import pytest

from edge_sleep.device.power.lease import known
from edge_sleep.system import intent
from edge_sleep.system.intent import Change

CHANGES = [Change("mode", "nvpmodel", "25W", "15W"), Change("gpu_max_hertz", "devfreq", 1020000000, 612000000),
           Change("fan_profile", "jtop", {"pwmfan": "quiet"}, {"pwmfan": "cool"}), Change("jetson_clocks", "jtop", "off", "on")]
GOOD = {"setting": "mode", "by": "nvpmodel", "before": "25W", "during": "15W"}


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "power-intent.json"
    assert intent.read(path, known) == []
    intent.write(path, CHANGES)
    assert intent.read(path, known) == CHANGES
    assert json.loads(path.read_text())["format"] == 1
    intent.write(path, [])
    assert not path.exists()
    intent.write(path, [])


@pytest.mark.parametrize("text", [
    b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"format": 1}', b'{"format": 1, "changes": {}}', b'{"format": 1, "changes": [3]}',
    json.dumps({"format": 2, "changes": [GOOD]}).encode(),
    *(json.dumps({"format": 1, "changes": [GOOD | wrong]}).encode() for wrong in (
        {"setting": "voltage"}, {"by": "sudo"}, {"before": 3}, {"during": None}, {"extra": 1},
        {"setting": "gpu_max_hertz"}, {"setting": ["mode"]})),
    json.dumps({"format": 1, "changes": [{"setting": "mode"}]}).encode()], ids=lambda text: text[:60].decode("latin-1"))
def test_damage_is_no_crash_and_keeps_the_file(tmp_path, bench, text):
    bench.intent.write_bytes(text)
    with pytest.raises(ValueError):
        intent.read(bench.intent, known)
    (told,) = bench.next_start()
    assert told["state"] == "damaged" and "power-intent.damaged-1.json" in told["reason"] and "nvpmodel -q" in told["reason"]
    assert not bench.intent.exists()
    assert bench.intent.with_name("power-intent.damaged-1.json").read_bytes() == text
    assert bench.next_start() == [] and bench.history == []


def test_an_earlier_damaged_one_is_kept_too(tmp_path):
    path = tmp_path / "power-intent.json"
    for number in (1, 2):
        path.write_text("{")
        assert intent.set_aside(path).name == f"power-intent.damaged-{number}.json"


def test_one_that_cannot_be_read_stops_no_night(bench):
    bench.intent.mkdir()
    (told,) = bench.next_start()
    assert told["state"] == "not restored" and "cannot be read" in told["reason"]
