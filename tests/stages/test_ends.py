"""A night that broke: what of it stays."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_sleep.errors import Exit, Outcome
from edge_sleep.stages import ends
from edge_sleep.system.files import write_json
from edge_sleep.system.home import Home


@pytest.mark.parametrize("current, code, stays", [
    (None, Exit.BUG, False), ("another night", Exit.BUG, False), (None, Exit.STORAGE, True),
    ("n", Exit.BUG, True)],                     # promoted, and not yet marked as taught: without its state it would be taught again
    ids=["before", "an earlier one is current", "a full disk", "its candidate is current"])
def test_the_state_of_a_night_that_broke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str | None, code: int, stays: bool) -> None:
    home = Home(tmp_path / "home").make()
    if current is not None:
        write_json(home.current, {"format": 1, "base": {"source": "s", "sha256": "b"}, "adapter": {"id": "a", "sha256": "c"}, "night": current,
                                  "promoted_at": "2026-01-17T23:00:00+00:00"})
    night = SimpleNamespace(home=home, id="n", folder=home.night("n"), state=home.night("n") / "state", record={"plan": {}},
                            contract=SimpleNamespace(total_seconds=1.0), recorder=SimpleNamespace(close=lambda *_: None))
    night.state.mkdir(parents=True)
    monkeypatch.setattr(ends.pacing, "note", lambda _: None)
    monkeypatch.setattr(ends, "_page", lambda _: None)
    ends.give_up(night, Outcome.FAILED, "it broke", int(code))  # type: ignore[arg-type]
    assert night.state.is_dir() == stays
