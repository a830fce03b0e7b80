"""The real jtop service on a board of files, and every way it was seen to fail: by name, in time, and nothing hangs."""
from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import pytest
from edge_sleep.benchmarks.fake_board.service import SOCKET, Service, impossible
from edge_sleep.benchmarks.fake_board.tree import KINDS, Board

from edge_sleep.device.telemetry.jtop import STALE_SECONDS, Jtop
from edge_sleep.device.telemetry.reading import Reading

pytestmark = pytest.mark.alone

WHY_NOT = impossible()
real_service = pytest.mark.skipif(WHY_NOT is not None, reason=f"no jtop service here: {WHY_NOT}")


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "board", "orin-nano-8gb")


@pytest.fixture
def service(board):
    with Service(board) as running:
        yield running


@pytest.fixture
def jtop(service, board):
    source = Jtop("VDD_IN", meminfo=board.meminfo)
    assert source.available() is None
    yield source
    source.close()


def until(source: Jtop, wanted, seconds: float = 3.0) -> tuple[Reading, float]:
    """(the first reading that is as wanted, seconds it took)."""
    began = time.monotonic()
    while not wanted(reading := source.read()):
        took = time.monotonic() - began
        assert took < seconds, f"after {took:.1f} s: {reading}"
        time.sleep(0.05)
    return reading, time.monotonic() - began


def words(reading: Reading) -> str:
    return "; ".join(map(str, reading.lost))


@real_service
@pytest.mark.parametrize(("name", "rail", "zones", "gated"), [
    ("orin-nano-8gb", "VDD_IN", {"cpu", "gpu", "soc0", "soc1", "soc2", "tj"}, {"cv0", "cv1", "cv2"}),
    ("agx-orin-64gb", None, {"cpu", "gpu", "soc0", "soc1", "soc2", "tj"}, {"cv0", "cv1", "cv2"}),
    ("agx-thor-128gb", "VIN", {"cpu", "gpu", "tj", "soc012", "soc345"}, set())])
def test_a_whole_board_of_each_kind(tmp_path, name, rail, zones, gated):
    board = Board(tmp_path, name, celsius=52.0, watts=10.0)
    board.load(0.75)
    with Service(board):
        source = Jtop(rail, meminfo=board.meminfo)
        assert source.available() is None
        found = source.read()
        source.close()
    assert (set(found.zones), set(found.gated), found.hottest[1], found.lost) == (zones, gated, 52.0, ())
    assert found.watts == pytest.approx(10.0, rel=0.01)
    assert found.watts_of == (rail or "sum of 4 rails")
    assert (found.gpu_load, found.gpu_hertz) == (0.75, board.kind.gpu_hertz[0])
    assert found.power_mode == next(label for number, label, _ in KINDS[name].modes if number == KINDS[name].mode)
    assert found.memory_available == pytest.approx(board.kind.memory_kb * 768, rel=0.01)


@real_service
def test_heat_is_seen_within_a_second(board, jtop):
    board.heat(91.75)
    _, took = until(jtop, lambda reading: reading.zones.get("tj") == 91.75)
    assert took < 1.5


@real_service
@pytest.mark.parametrize("rail", ["VDD_IN", "VDD_SOC"])
def test_a_rail_that_cannot_be_read_is_lost_and_the_total_never_the_sum_of_the_rest(board, jtop, rail):
    board.draw(21.0)
    until(jtop, lambda reading: reading.watts and reading.watts > 20)
    board.break_rail(rail)
    reading, took = until(jtop, lambda reading: reading.lost)
    assert words(reading) == f"rail {rail}: the service no longer shows it"
    assert reading.watts == (None if rail == "VDD_IN" else pytest.approx(21.0, rel=0.01))
    assert took < 2.0
    board.mend_rail(rail)
    until(jtop, lambda reading: not reading.lost)


@real_service
def test_a_total_that_the_profile_names_and_the_service_never_shows_is_lost(board):
    (board.sys / "bus/i2c/devices/1-0040/hwmon/hwmon1/in1_label").unlink()
    with Service(board):
        source = Jtop("VDD_IN", meminfo=board.meminfo)
        assert source.available() is None
        reading = source.read()
        source.close()
    assert (words(reading), reading.watts) == ("rail VDD_IN: the service does not show it", None)


@real_service
def test_a_zone_that_cannot_be_read_is_gated_not_cold(board, jtop):
    board.break_zone("gpu")
    reading, _ = until(jtop, lambda reading: "gpu" in reading.gated)
    assert "gpu" not in reading.zones


@real_service
@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "connection lost"), (signal.SIGTERM, "connection lost"),
                                              (signal.SIGSTOP, "silent")])
def test_a_service_that_dies_or_hangs_is_named_in_time_and_found_again(board, service, jtop, number, name):
    service.signal(number)
    reading, took = until(jtop, lambda reading: reading.lost)
    assert name in words(reading)
    assert (reading.zones, reading.watts) == ({}, None)
    assert took < STALE_SECONDS + 1.0
    service.end()
    service.start()
    until(jtop, lambda reading: not reading.lost, 10.0)
    assert jtop.read().zones["tj"] == 41.5


@real_service
def test_connecting_to_a_service_that_hangs_ends_by_itself(board, service):
    service.signal(signal.SIGSTOP)
    source = Jtop("VDD_IN", meminfo=board.meminfo)
    began = time.monotonic()
    assert "no answer" in source.available()
    assert time.monotonic() - began < 7.0
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1.0


@real_service
def test_a_service_whose_timer_died_is_silent_then_broken(board, jtop):
    board.spoil_rail("VDD_SOC")
    until(jtop, lambda reading: "silent" in words(reading) or "stale" in words(reading))
    until(jtop, lambda reading: "service broken" in words(reading), 5.0)


@real_service
def test_children_that_outlive_their_service_go_on_serving(service, jtop, board):
    os.kill(service.process.pid, signal.SIGKILL)
    time.sleep(2.0)
    board.heat(77.0)
    until(jtop, lambda reading: reading.zones.get("tj") == 77.0)


@real_service
@pytest.mark.parametrize("version", ["6.1.0", "7.1.9"])
def test_a_service_of_another_version_is_named(board, version):
    with Service(board, version=version):
        source = Jtop("VDD_IN")
        why = source.available()
        source.close()
    assert "version mismatch" in why and version in why


@real_service
def test_a_service_of_another_patch_release_is_understood(board):
    with Service(board, version="7.2.0"):
        source = Jtop("VDD_IN")
        assert source.available() is None
        source.close()


@real_service
def test_a_socket_that_nobody_serves(board):
    with Service(board) as service:
        service.signal(signal.SIGKILL)
        assert stat.S_ISSOCK(SOCKET.stat().st_mode)
        source = Jtop("VDD_IN")
        assert "no service" in source.available()
        source.close()


def test_without_a_socket_nothing_is_started(tmp_path):
    source = Jtop(socket=tmp_path / "jtop.sock")
    why = source.available()
    assert ("jtop.sock is missing" in why) or "is not installed" in why
    assert source._child is None


def child(tmp_path: Path, body: str) -> str:
    """A program in the place of the one that reads the service."""
    file = tmp_path / "child"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


def source_of(tmp_path: Path, body: str, now) -> Jtop:
    return Jtop("VDD_IN", socket=tmp_path, python=child(tmp_path, body), monotonic=lambda: now[0])


def test_samples_whose_uptime_stands_still_grow_old(tmp_path):
    now = [1000.0]
    sample = ('{"uptime": 5.0, "interval": 0.5, "at": 1000.0, "temperature": {"tj": {"temp": 40.0, "online": true}}, '
              '"power": {}, "gpu": {}, "mode": null}')
    source = source_of(tmp_path, f"while true; do echo '{sample}'; sleep .05; done", now)
    reading = source.read()
    waited = time.monotonic()
    while not reading.zones and time.monotonic() - waited < 5:
        reading = source.read()
    assert (reading.at, reading.zones) == (1000.0, {"tj": 40.0})
    time.sleep(0.2)
    now[0] += STALE_SECONDS + 0.1
    reading = source.read()
    source.close()
    assert (reading.zones, "stale" in words(reading)) == ({}, True)


@pytest.mark.parametrize("end", ["exit 0", "kill -9 $$"])
def test_a_child_that_ends_is_named_and_tried_again_after_a_while(tmp_path, end):
    now, started = [0.0], tmp_path / "started"
    source = source_of(tmp_path, f"echo >> {started}; {end}", now)

    def until_one_more_ended(children: int) -> None:
        reading, _ = until(source, lambda _: source._child is None and started.exists()
                           and started.read_text().count("\n") == children, 5.0)
        assert "connection lost" in words(reading)

    until_one_more_ended(1)
    source.read()
    assert source._child is None
    now[0] += 1.1
    until_one_more_ended(2)           # one is tried at the next reading, and may have ended by the time that returns
