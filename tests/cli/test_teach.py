"""Teaching, weights and SAGE's buffer from the command line."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import micro


@pytest.fixture
def home(cli, tmp_path: Path) -> Path:
    micro.write_talk(tmp_path / "sessions")
    assert cli("ingest", tmp_path / "sessions", "--home", tmp_path / "home").code == 0
    return tmp_path / "home"


def test_teach_and_correct(cli, home) -> None:
    ran = cli("teach", "What is my sister's name?", "Your sister's name is Lena.", "--home", home, "--json")
    assert ran.code == 0 and (ran.document["status"], ran.document["salience"]["reward"]) == ("kept", 1.0)
    [wrong] = cli("experiences", "--search", "ferns", "--home", home, "--json").document["items"]
    ran = cli("teach", "Lena waters the ferns, on Mondays.", "--instead-of", wrong["id"][:10], "--home", home, "--json")
    assert (ran.code, ran.document["prompt"], ran.document["instead_of"]) == (0, "Who waters the ferns?", wrong["id"])
    shown = cli("experiences", "show", wrong["id"], "--home", home, "--json").document
    assert (shown["status"], shown["reason"], shown["lineage"]) == ("quarantined", "corrected", [])
    ran = cli("teach", "where does the LAMP stand", "It is in the cellar.", "--home", home)
    assert ran.code == 0 and "1 other answer(s)" in ran.out
    ran = cli("teach", "How do I reach Lena?", "Write to lena@example.org.", "--home", home)
    assert "masked" in ran.err and "[email]" in ran.out


@pytest.mark.parametrize("arguments", [["only a question"], ["q?", " "], ["q?", "a", "--instead-of", "ffff"]])
def test_what_cannot_be_taught(cli, home, arguments) -> None:
    assert cli("teach", *arguments, "--home", home).code == 2


def test_sages_buffer_goes_out_and_in(cli, home, tmp_path) -> None:
    out = cli("experiences", "--export", "sage", "--home", home).out
    file = tmp_path / "experience_buffer.json"
    file.write_text(out)
    assert [entry["session"] for entry in json.loads(out)] == [1] * len(micro.TALK)
    ran = cli("ingest", file, "--home", home, "--json")
    assert (ran.document["exchanges"], ran.document["new"]) == (len(micro.TALK), 0)
    assert cli("experiences", "--export", "sage", "--home", tmp_path / "none").out.strip() == "[]"


def test_weights_need_outcomes(cli, home) -> None:
    ran = cli("experiences", "learn-weights", "--write", "--home", home, "--json")
    assert ran.code == 0 and (ran.document["better"], ran.document["weights"], ran.document["written"]) == (False, None, None)
    assert "needed" in cli("experiences", "learn-weights", "--home", home).out and not (home / "edge-sleep.yaml").exists()


def test_weights_are_written_when_asked_and_better(cli, home, monkeypatch) -> None:
    found = {"outcomes": 40, "good": 20, "bad": 20, "sessions": 20, "sources": {"evaluation": 40}, "reason": "better: …",
             "weights": {"surprise": 0.1, "novelty": 0.1, "arousal": 0.1, "reward": 0.6, "conflict": 0.1},
             "auc": {"learned": {"value": 0.7, "low": 0.6, "high": 0.8}}, "better": True, "above_chance": True}
    for better, above, asked, written in ((True, True, False, False), (True, False, True, False), (False, True, True, False),
                                          (True, True, True, True)):
        monkeypatch.setattr("edge_sleep.data.weights.learn", lambda *_, b=better, a=above: {**found, "better": b, "above_chance": a})
        ran = cli("experiences", "learn-weights", *(["--write"] if asked else []), "--home", home, "--json")
        assert ran.code == 0 and bool(ran.document["written"]) == written == (home / "edge-sleep.yaml").exists()
    from edge_sleep.config import load
    assert load(home / "edge-sleep.yaml").salience.weights == found["weights"]
    assert cli("ingest", "--home", home, home.parent / "sessions").code == 0
