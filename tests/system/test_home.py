"""A home is its owner's: made closed to other users, whatever the umask, and left as its owner has it."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sleep.system.home import Home


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
