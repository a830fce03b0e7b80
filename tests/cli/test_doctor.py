"""`doctor` is 0 with warnings and 22 with a failure, and reads well."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device import doctor

TELEMETRY = {"source": "none", "celsius": {}, "watts_total": None}


def check(name: str, status: str, found: str, do: str = "") -> dict:
    return {"name": name, "status": status, "found": found, "do": do}


def examined(monkeypatch: pytest.MonkeyPatch, *checks: dict) -> dict:
    document = {"checks": list(checks), "telemetry": TELEMETRY, "profile": "cpu", "profile_reason": "x"}
    monkeypatch.setattr(doctor, "examine", lambda *_: document)
    return document


@pytest.mark.parametrize("status, code", [("ok", 0), ("warn", 0), ("skip", 0), ("fail", 22)])
def test_exit_code(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str, code: int) -> None:
    document = examined(monkeypatch, check("torch", status, "2.13", "nothing"))
    ran = cli("doctor", "--home", tmp_path / "none", "--json")
    assert (ran.code, ran.document) == (code, document)
    ran = cli("doctor", "--home", tmp_path / "none", "--profile", "orin-nano-8gb")
    assert ran.code == code and status in ran.out and "do: nothing" in ran.out
    assert not (tmp_path / "none").exists()


def test_lines_stand_under_their_groups(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examined(monkeypatch, check("board", "skip", "no board"), check("gpu users", "warn", "vllm", "stop it"),
             check("torch", "fail", "no torch", "install it"))
    assert cli("doctor", "--home", tmp_path).out == """\
board
  skip  board      no board
gpu
  warn  gpu users  vllm
                   do: stop it
software
  fail  torch      no torch
                   do: install it
profile
        cpu        x

1 of 3 failed, 1 warning
"""


def test_the_sum(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examined(monkeypatch, check("torch", "ok", "2.13"))
    assert cli("doctor", "--home", tmp_path).out.endswith("\n\nnothing fails, 0 warnings\n")
