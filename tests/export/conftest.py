"""One tiny home for all that only read it."""
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sleep.system.home import Home
from tests.export import tiny as made


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> made.Tiny:
    return made.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_tiny(tiny: made.Tiny, tmp_path: Path) -> made.Tiny:
    """A copy of it for whoever writes to it."""
    home = Home(tmp_path / "home")
    shutil.copytree(tiny.home.root, home.root)
    return replace(tiny, home=home, base=replace(tiny.base, cache=home.cache))
