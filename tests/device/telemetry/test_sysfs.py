"""Sensors from files: a board's tree is built here, then broken one way at a time."""
from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.device.telemetry import sysfs
from edge_sleep.device.telemetry.sysfs import Sysfs

ZONES = ("cpu-thermal", "gpu-thermal", "cv0-thermal", "soc0-thermal", "tj-thermal")
MEMINFO = "MemTotal: 7801856 kB\nMemAvailable: 5242880 kB\n"


def put(file: Path, text: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def monitor(root: Path, number: int, rails: dict[str, tuple[int, int]], address: str = "1-0040") -> Path:
    folder = root / f"bus/i2c/devices/{address}/hwmon/hwmon{number}"
    put(folder / "name", "ina3221")
    for channel, (label, (millivolts, milliamperes)) in enumerate(rails.items(), start=1):
        put(folder / f"in{channel}_label", label)
        put(folder / f"in{channel}_input", millivolts)
        put(folder / f"curr{channel}_input", milliamperes)
    return folder


@pytest.fixture
def root(tmp_path):
    """An Orin Nano at 41 to 45 degrees, 5 W, its GPU at half load."""
    for number, zone in enumerate(ZONES):
        put(tmp_path / f"devices/virtual/thermal/thermal_zone{number}/type", zone)
        put(tmp_path / f"devices/virtual/thermal/thermal_zone{number}/temp", 41000 + 1000 * number)
    monitor(tmp_path, 3, {"VDD_IN": (5000, 1000), "VDD_CPU_GPU_CV": (5000, 260), "VDD_SOC": (5000, 300)})
    gpu = tmp_path / "devices/platform/bus@0/17000000.gpu"
    put(gpu / "load", 500)
    put(gpu / "devfreq/17000000.gpu/cur_freq", 612000000)
    (tmp_path / "class/devfreq").mkdir(parents=True)
    (tmp_path / "class/devfreq/17000000.gpu").symlink_to(gpu / "devfreq/17000000.gpu")
    put(tmp_path / "class/hwmon/hwmon7/name", "soctherm_oc")
    put(tmp_path / "class/hwmon/hwmon7/oc3_event_cnt", 12)
    for number, (kind, state) in enumerate((("cpu-throttle-alert", 0), ("hot-surface-alert", 1), ("gpu-throttle-alert", 2))):
        put(tmp_path / f"class/thermal/cooling_device{number}/type", kind)
        put(tmp_path / f"class/thermal/cooling_device{number}/cur_state", state)
    put(tmp_path / "meminfo", MEMINFO)
    return tmp_path


def read(root: Path):
    return Sysfs(root, root / "meminfo", monotonic=lambda: 7.0).read()


def test_a_whole_board(root):
    found = read(root)
    assert (found.at, found.source, found.lost, found.gated) == (7.0, "sysfs", (), ())
    assert found.zones == {"cpu": 41.0, "gpu": 42.0, "cv0": 43.0, "soc0": 44.0, "tj": 45.0}
    assert found.hottest == ("tj", 45.0)
    assert found.rails == pytest.approx({"VDD_IN": 5.0, "VDD_CPU_GPU_CV": 1.3, "VDD_SOC": 1.5})
    assert (found.watts, found.watts_of) == (5.0, "VDD_IN")
    assert (found.gpu_load, found.gpu_hertz) == (0.5, 612_000_000)
    assert found.memory_available is not None and 0 < found.memory_available <= 5 << 30
    assert found.throttling == ("gpu",), "a warm surface is not throttling"
    assert found.over_current == {"oc3": 12}


def failing(monkeypatch, file: Path, error: int, times: int = 99) -> None:
    """Reads of one file fail as the kernel's would, so many times."""
    whole, left = Path.read_text, [times]

    def read_text(self, *arguments, **options):
        if self == file and left[0]:
            left[0] -= 1
            raise OSError(error, "as the kernel says it")
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)


@pytest.mark.parametrize(("error", "times", "where"), [
    (errno.EAGAIN, 99, "gated"), (errno.EAGAIN, 1, "zones"), (errno.EIO, 99, "lost"), (errno.EINVAL, 99, "lost")])
def test_a_zone_that_does_not_answer_is_gated_or_lost_never_cold(root, monkeypatch, error, times, where):
    failing(monkeypatch, root / "devices/virtual/thermal/thermal_zone1/temp", error, times)
    found = read(root)
    assert ("gpu" in found.zones, found.gated, len(found.lost)) == (where == "zones", ("gpu",) if where == "gated" else (),
                                                                    int(where == "lost"))
    assert found.hottest == ("tj", 45.0)


@pytest.mark.parametrize(("written", "where"), [
    ("-256000", "gated"), ("", "lost"), ("hot", "lost"), ("999000", "lost"), ("-90000", "lost"), ("99500", "zones"), ("-5000", "zones")])
def test_what_a_zone_says(root, written, where):
    put(root / "devices/virtual/thermal/thermal_zone1/temp", written)
    found = read(root)
    assert ("gpu" in found.zones, found.gated == ("gpu",), len(found.lost)) == (where == "zones", where == "gated",
                                                                               int(where == "lost"))


def test_a_total_that_fails_is_unknown_not_the_sum_of_the_rest(root, monkeypatch):
    failing(monkeypatch, root / "bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input", errno.EIO)
    found = read(root)
    assert (found.watts, found.watts_of) == (None, "VDD_IN")
    assert found.lost == (("rail", "VDD_IN", "as the kernel says it"),)
    assert found.rails == pytest.approx({"VDD_CPU_GPU_CV": 1.3, "VDD_SOC": 1.5})


def agx(root: Path) -> None:
    """AGX Orin: two monitors, none of which measures the whole."""
    monitor(root, 3, {"VDD_GPU_SOC": (20000, 160), "VDD_CPU_CV": (20000, 60), "VIN_SYS_5V0": (5000, 800)})
    monitor(root, 4, {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5000, 100), "sum of shunt voltages": (0, 0)}, "1-0041")


def test_without_a_total_all_rails_add_up(root):
    agx(root)
    found = read(root)
    assert found.watts == pytest.approx(3.2 + 1.2 + 4.0 + 0.5) and found.watts_of == "sum of 4 rails"


def test_without_a_total_one_lost_rail_leaves_it_unknown(root):
    agx(root)
    put(root / "bus/i2c/devices/1-0041/hwmon/hwmon4/in2_input", "?")
    found = read(root)
    assert found.watts is None and found.lost == (("rail", "VDDQ_VDD2_1V8AO", "not a number"),)


def test_thor_measures_its_input(root):
    folder = root / "bus/i2c/devices/2-0044/hwmon/hwmon5"
    put(folder / "name", "ina238")
    put(folder / "power1_input", 19780000)
    assert (read(root).watts, read(root).watts_of) == (pytest.approx(19.78), "VIN")


def test_a_machine_without_sensors_says_so(tmp_path):
    put(tmp_path / "meminfo", MEMINFO)
    found = read(tmp_path)
    assert Sysfs(tmp_path).available() == f"{tmp_path} has no thermal zone"
    assert (found.zones, found.hottest, found.watts, found.gpu_load, found.lost) == ({}, None, None, None, ())


@given(st.binary(max_size=12))
def test_no_content_of_a_file_raises(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("sys")
    put(root / "meminfo", MEMINFO)
    for file in ("devices/virtual/thermal/thermal_zone0/temp", "devices/virtual/thermal/thermal_zone0/type",
                 "class/thermal/cooling_device0/type", "class/hwmon/hwmon0/name", "bus/i2c/devices/1-0040/hwmon/hwmon1/in1_label"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    put(root / "bus/i2c/devices/1-0040/hwmon/hwmon1/name", "ina3221")
    found = read(root)
    assert all(sysfs.POSSIBLE[0] <= celsius <= sysfs.POSSIBLE[1] for celsius in found.zones.values())
