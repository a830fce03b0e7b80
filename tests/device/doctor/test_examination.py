"""The whole document; whatever a machine's files say, it comes out."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sleep.device import doctor, profile
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.system.clock import ManualClock
from tests.device.doctor.machines import MEMINFO, NF4, ORIN, attempt, put

CPU = profile.load("cpu")
NAMES = {name for names in doctor.GROUPS.values() for name in names}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A machine with memory and nothing else to look at."""
    root = tmp_path / "plain"
    put(root / "proc/meminfo", MEMINFO.format(3145728, 2097152))
    return root


def statuses(document: dict) -> dict[str, str]:
    return {check["name"]: check["status"] for check in document["checks"]}


def examine(root: Path, answers=None, board=CPU) -> dict:
    return doctor.examine(root.parent / "home", board, "because", ManualClock(), answers or attempt(), root=root)


def test_a_plain_machine_is_read_in_few_lines(plain: Path) -> None:
    document = examine(plain)
    assert set(document) >= {"checks", "telemetry", "profile"}
    assert all(set(check) == {"name", "status", "found", "do"} for check in document["checks"])
    assert document["telemetry"] == {"source": "none", "celsius": {}, "watts_total": None}
    assert document["profile"] == "cpu" and document["profile_reason"] == "because"
    found = statuses(document)
    assert list(found) == ["board", "sensors", "gpu", "python", "torch", "bitsandbytes", "libraries", "onnxruntime", "memory", "swap",
                           "home", "disk", "clock"]
    assert [name for name, status in found.items() if status == "skip"] == ["board", "sensors", "gpu"]
    assert "fail" not in found.values()
    assert sorted(os.listdir(plain.parent)) == ["plain"]


def test_a_jetson_is_looked_at_wholly(jetson: Path) -> None:
    document = examine(jetson, attempt(torch=ORIN), profile.load("orin-nano-8gb"))
    found = statuses(document)
    assert set(found) == NAMES and "fail" not in found.values()
    assert {found[name] for name in ("board", "jetpack", "cuda", "gpu", "architectures", "headroom", "page cache")} == {"ok"}
    assert document["telemetry"]["celsius"] == {"cpu": 43.0, "tj": 45.0}


@pytest.mark.parametrize("name, changed", [
    ("torch", {"torch": "ModuleNotFoundError: No module named 'torch'"}), ("bitsandbytes", {"nf4": "killed by SIGSEGV"}),
    ("bitsandbytes", {"nf4": NF4 | {"forward": 1.4}}), ("bitsandbytes", {"nf4": NF4 | {"backward": float("nan")}}),
    ("gpu", {"torch": ORIN, "gpu": "no kernel image"}), ("libraries", {"libraries": "no answer in 180 s"})])
def test_each_failure_is_one_line_that_says_what_to_do(plain: Path, name: str, changed: dict) -> None:
    failed = [check for check in examine(plain, attempt(**changed))["checks"] if check["status"] == "fail"]
    assert [check["name"] for check in failed] == [name]
    assert failed[0]["found"] and failed[0]["do"]


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\x00", b"-1", b"9" * 40, b"a: b kB\nc d e f g\n", None], ids=repr)
def test_no_file_can_end_the_examination(jetson: Path, garbage: bytes | None) -> None:
    """Each file of a board in turn, and then all of them."""
    files = [file for file in sorted(jetson.rglob("*")) if file.is_file() and not file.is_symlink()]
    for file in files:
        before = file.read_bytes()
        file.unlink()
        if garbage is not None:
            file.write_bytes(garbage)
        found = examine(jetson, attempt(torch=ORIN))
        assert statuses(found).keys() <= NAMES and "memory" in statuses(found)
        file.write_bytes(before)
    for file in files:
        file.write_bytes(garbage or b"")
    assert "fail" not in statuses(examine(jetson)).values()


def test_sensors_that_break_are_a_warning(plain: Path) -> None:
    class Broken(Sysfs):
        def read(self):
            raise RuntimeError("who knows")
    document = doctor.examine(plain, CPU, "", ManualClock(), attempt(), Broken(), plain)
    assert statuses(document)["sensors"] == "warn" and document["telemetry"]["source"] == "none"


@pytest.mark.night
def test_this_machine_with_nothing_replaced(tmp_path: Path) -> None:
    found = statuses(doctor.examine(tmp_path, CPU, ""))
    assert found["torch"] == found["bitsandbytes"] == found["libraries"] == "ok"
    assert os.listdir(tmp_path) == []
