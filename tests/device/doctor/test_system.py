"""Disk and clock; what is tried leaves nothing behind."""
from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_sleep.device.doctor.system import check_clock, check_home, check_python
from edge_sleep.system.clock import ManualClock, clock_synchronised
from tests.device.doctor.machines import as_another_user


def test_python() -> None:
    assert check_python().status == "ok"


@pytest.mark.parametrize("free, status", [(0, "fail"), (2**30, "warn"), (8 * 2**30, "ok")])
def test_disk(tmp_path: Path, free: int, status: str) -> None:
    assert [check.status for check in check_home(tmp_path / "not/there", free)] == ["ok", status]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode, status", [(0o700, "ok"), (0o750, "ok"), (0o755, "warn"), (0o701, "warn")])
def test_a_home_that_others_can_read(tmp_path: Path, mode: int, status: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(mode)
    line = check_home(tmp_path / "home", 2**40)[0]
    assert (line.status, "chmod 700" in line.do) == (status, status == "warn")


def test_a_home_that_cannot_be_written() -> None:
    """/proc/self is read-only to root too."""
    assert check_home(Path("/proc/self/home"), 2**40)[0].status == "fail"


def test_a_home_that_cannot_even_be_seen() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "closed").mkdir()
        Path(folder).chmod(0)
        said = as_another_user(lambda: str(check_home(Path(folder) / "closed/home", 2**40)[0]))
        Path(folder).chmod(0o755)
    assert "fail" in said and "Permission denied" in said, said


@pytest.mark.parametrize("synchronised, words", [(True, ", synchronised"), (False, "not synchronised"), (None, "+00:00")])
def test_clock(synchronised, words: str) -> None:
    line = check_clock(ManualClock(), synchronised)
    assert line.status == "ok" and words in line.found


def test_a_clock_that_began_anew() -> None:
    assert check_clock(ManualClock(datetime(1970, 1, 1, tzinfo=timezone.utc))).status == "warn"


@pytest.mark.parametrize("made, status", [("2026-01-01", "ok"), ("2026-01-18", "ok"), ("2026-06-01", "warn")])
def test_a_clock_behind_its_own_files(tmp_path: Path, made: str, status: str) -> None:
    """Without a battery a board starts at the date of its image, a year that looks sound."""
    file = tmp_path / "current.json"
    file.touch()
    seconds = datetime.fromisoformat(f"{made}T00:00:00+00:00").timestamp()
    os.utime(file, (seconds, seconds))
    line = check_clock(ManualClock(), made_earlier=(tmp_path / "missing", file))
    assert (line.status, str(file) in line.found, bool(line.do)) == (status, status == "warn", status == "warn")


def test_the_kernel_says_whether_it_is_synchronised() -> None:
    assert clock_synchronised() in (True, False, None)
