"""The doctor tries things; what crashes, hangs, lies or is missing becomes a line, not an end."""
from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_sleep.device import doctor
from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.system.clock import ManualClock

TORCH = {"version": "2.13.0", "cuda": None, "gpu": None}
NF4 = {"version": "0.50", "device": "cpu", "forward": 0.09, "backward": 0.02}
LIBRARIES = {"transformers": "5", "peft": "0.21"}


def attempt(torch=TORCH, nf4=NF4, libraries=LIBRARIES):
    answers = {doctor.TORCH_PROBE: torch, doctor.NF4_PROBE: nf4, doctor.LIBRARY_PROBE: libraries}

    def answer(code: str):
        return (answers[code], "") if isinstance(answers[code], dict) else (None, answers[code])
    return answer


def statuses(document: dict) -> dict[str, str]:
    return {check["name"]: check["status"] for check in document["checks"]}


def test_a_sound_machine(tmp_path: Path) -> None:
    document = doctor.examine(tmp_path, "cpu", "because", ManualClock(), attempt(), Sysfs(tmp_path / "no-sensors"))
    assert set(document) >= {"checks", "telemetry", "profile"}
    assert document["telemetry"] == {"source": "none", "celsius": {}, "watts_total": None}
    found = statuses(document)
    assert set(found) == {"python", "torch", "gpu", "bitsandbytes", "libraries", "memory", "home", "disk", "sensors", "clock"}
    assert "fail" not in found.values() and found["gpu"] in ("skip", "warn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name, changed", [
    ("torch", {"torch": "ModuleNotFoundError: No module named 'torch'"}), ("bitsandbytes", {"nf4": "killed by signal 11"}),
    ("bitsandbytes", {"nf4": NF4 | {"forward": 1.4}}), ("bitsandbytes", {"nf4": NF4 | {"backward": float("nan")}}),
    ("libraries", {"libraries": "no answer in 180 s"})])
def test_each_failure_is_one_line_that_says_what_to_do(tmp_path: Path, name: str, changed: dict) -> None:
    document = doctor.examine(tmp_path, "cpu", "", ManualClock(), attempt(**changed), Sysfs(tmp_path / "no-sensors"))
    failed = [check for check in document["checks"] if check["status"] == "fail"]
    assert [check["name"] for check in failed] == [name]
    assert failed[0]["found"] and failed[0]["do"]


@pytest.mark.parametrize("code, says", [
    ("import os; os.abort()", "killed by signal 6"), ("import time; time.sleep(60)", "no answer in 1 s"),
    ("raise RuntimeError('no kernel image')", "RuntimeError: no kernel image"), ("print('hello')", "printed no result"),
    ("", "printed no result"), ("import sys; sys.exit(3)", "exit code 3")])
def test_a_throw_away_process(code: str, says: str) -> None:
    assert doctor.try_code(code, 1.0) == (None, says)


def test_its_last_line_is_the_result() -> None:
    assert doctor.try_code("print('noise'); print('{\"a\": 1}')") == ({"a": 1}, "")


@pytest.mark.parametrize("facts, node, status", [
    (TORCH, True, "warn"), (TORCH, False, "skip"), (TORCH | {"gpu": "Orin"}, True, "ok"), ({}, False, "skip")])
def test_gpu(tmp_path: Path, facts: dict, node: bool, status: str) -> None:
    if node:
        (tmp_path / "nvidia0").touch()
    assert doctor.check_gpu(facts, (tmp_path / "nvidia0",)).status == status


@pytest.mark.parametrize("available, status", [(0, "fail"), (2**30, "warn"), (8 * 2**30, "ok")])
def test_memory(available: int, status: str) -> None:
    assert doctor.check_memory(available).status == status


@pytest.mark.parametrize("free, status", [(0, "fail"), (2**30, "warn"), (8 * 2**30, "ok")])
def test_disk(tmp_path: Path, free: int, status: str) -> None:
    assert [check.status for check in doctor.check_home(tmp_path / "not/there", free)] == ["ok", status]
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written() -> None:
    """/proc/self is read-only to root too."""
    assert doctor.check_home(Path("/proc/self/home"), 2**40)[0].status == "fail"


def test_clock() -> None:
    assert doctor.check_clock(ManualClock()).status == "ok"
    assert doctor.check_clock(ManualClock(datetime(1970, 1, 1, tzinfo=timezone.utc))).status == "warn"


@pytest.mark.night
def test_this_machine_with_nothing_replaced(tmp_path: Path) -> None:
    found = statuses(doctor.examine(tmp_path, "cpu", ""))
    assert found["torch"] == found["bitsandbytes"] == found["libraries"] == "ok"
    assert os.listdir(tmp_path) == []


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
    (WARM, "ok", "2 thermal zones, hottest tj at 45.5 degrees, 1 powered off; 5.2 W (VDD_IN)"),
    ({**WARM, "watts": None}, "ok", "2 thermal zones, hottest tj at 45.5 degrees, 1 powered off"),
    ({**WARM, "lost": ("rail VDD_IN: Input/output error",)}, "warn", "lost: rail VDD_IN: Input/output error"),
    ({**WARM, "throttling": ("gpu",), "lost": ("x",)}, "warn", "the kernel throttles: gpu")])
def test_what_the_board_feels_is_told(felt, status, words):
    check, told = doctor.check_sensors(Sensors(**felt))
    assert (check.status, words in check.found, bool(check.do)) == (status, True, status != "ok")
    assert told == {"source": "sysfs", "celsius": WARM["zones"], "watts_total": felt["watts"]}


def test_a_machine_without_zones_is_skipped_with_its_reason(tmp_path):
    check, told = doctor.check_sensors(Sysfs(tmp_path))
    assert check.status == "skip" and "has no thermal zone" in check.found
    assert told == {"source": "none", "celsius": {}, "watts_total": None}
