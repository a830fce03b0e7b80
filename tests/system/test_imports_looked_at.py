"""Looking from import to import: what is raised comes out, whatever the library that imported made of it."""
from __future__ import annotations

import sys

import pytest

from edge_sleep.errors import Preempted
from edge_sleep.system import imports


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A package of three modules, that takes what does not import for missing."""
    (tmp_path / "careless").mkdir()
    (tmp_path / "careless/__init__.py").write_text(
        "from careless import one\ntry:\n    from careless import two\nexcept Exception:\n    two = None\n")
    for name in ("one", "two"):
        (tmp_path / f"careless/{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "_LOOK_SECONDS", 0.0)
    yield
    for name in [name for name in sys.modules if name.startswith("careless")]:
        del sys.modules[name]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_it_comes_out(library, at):
    looks = []

    def between():
        looks.append(True)
        if len(looks) == at:
            raise Preempted("a talk")

    before = list(sys.meta_path)
    with pytest.raises(Preempted, match="a talk"), imports.looking(between):
        import careless  # noqa: F401
    assert len(looks) == at and sys.meta_path == before


def test_nothing_is_changed_otherwise(library):
    looks = []
    with imports.looking(lambda: looks.append(True)):
        import careless
    assert careless.two is not None and len(looks) == 3
    with pytest.raises(ZeroDivisionError), imports.looking(lambda: None):
        1 // 0  # noqa: B018
