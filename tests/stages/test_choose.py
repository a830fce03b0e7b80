"""Which places a night reads."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_sleep import config
from edge_sleep.stages import choose
from edge_sleep.system.home import Home


def test_a_home_folder_in_the_configuration_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in edge-sleep.yaml means for a night what it means for the watcher."""
    monkeypatch.setenv("HOME", str(tmp_path))
    read: list[Path] = []
    result = {"files": {"read": 0, "refused": {}}, **dict.fromkeys(("exchanges", "new"), 0), "quarantined": {}, "redacted": {}}
    monkeypatch.setattr(choose, "read_transcripts", lambda paths, *_, **__: read.extend(paths) or result)
    monkeypatch.setattr(choose, "own_name", lambda _: None)
    home = Home(tmp_path / "home")
    home.sessions.mkdir(parents=True)
    night = SimpleNamespace(request=SimpleNamespace(sessions=(Path("/typed"),)), config=config.load(None, ["data.sessions=[~/talks, /other]"]),
                            home=home, place=None, events=lambda *_, **__: None, record={"data": {}})
    choose.ingest(night, None)                                                           # type: ignore[arg-type]
    assert read == [Path("/typed"), tmp_path / "talks", Path("/other"), home.sessions]
