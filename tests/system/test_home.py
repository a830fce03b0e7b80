"""A home is its owner's: made closed to other users, whatever the umask, and left as its owner has it."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_home_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = Home(tmp_path / "data" / "companion").make()
    finally:
        os.umask(before)
    assert mode(home.root) == 0o700 and home.adapters.is_dir()


def test_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    home = Home(tmp_path / "shared").make()
    assert mode(home.make().root) == 0o755


@pytest.mark.parametrize("place", ["", "adapters", "nights", "state", "exports/gguf", "nights/20260118-230000"])
def test_what_a_killed_night_left_half_written_goes_with_the_next_start(tmp_path: Path, place: str) -> None:
    half = Home(tmp_path / "home").make().root / place / ".tmp-patterns.json.4711"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_text("half")
    (whole := half.with_name("patterns.json")).write_text("whole")
    Home(tmp_path / "home").make()
    assert not half.exists() and whole.exists()


def test_what_a_night_that_is_at_work_writes_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    (written := home.adapters / ".tmp-being-written").write_text("half")
    with hold(home.night_lock, "a night"):
        home.make()
        assert written.exists()
