"""`doctor` is 0 with warnings and 22 with a failure."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device import doctor


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("skip", 0), ("fail", 22)])
def test_exit_code(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str, code: int) -> None:
    document = {"checks": [{"name": "torch", "status": status, "found": "2.13", "do": "nothing"}],
                "telemetry": {"source": "none", "celsius": {}, "watts_total": None}, "profile": "cpu", "profile_reason": "x"}
    monkeypatch.setattr(doctor, "examine", lambda *_: document)
    ran = cli("doctor", "--home", tmp_path / "none", "--json")
    assert (ran.code, ran.document) == (code, document)
    text = cli("doctor", "--home", tmp_path / "none", "--profile", "orin-nano-8gb").out
    assert status in text and "do: nothing" in text
    assert not (tmp_path / "none").exists()
