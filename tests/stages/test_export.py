"""The last stage of a promoting night: exports that are made, compared, recorded; and what fails undoes nothing."""
from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edge_sleep import config
from edge_sleep.checkpoint import store
from edge_sleep.stages.export import export
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home
from tests.export import tiny


@pytest.fixture(scope="module")
def _tiny(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("tiny"), adapters={"r4 q,v": tiny.ADAPTERS["r4 q,v"]})


@pytest.fixture
def night(_tiny, tmp_path):
    home = Home(tmp_path / "home")
    shutil.copytree(_tiny.home.root, home.root)
    own_tiny = replace(_tiny, home=home, base=replace(_tiny.base, cache=home.cache))
    store.promote(home, own_tiny.adapters["r4 q,v"], base=own_tiny.base.entry(), chat_template="t", system_prompt="s", night="n",
                  clock=ManualClock())
    said = []
    settings = config.load(None, ["export.kinds=[gguf, merged]", "export.passages=4", "export.gguf=f16"])
    return SimpleNamespace(home=home, base=own_tiny.base, device=own_tiny.device, config=settings, clock=ManualClock(), record={},
                           signals=SimpleNamespace(received=None), events=lambda name, **facts: said.append((name, facts["kind"])), said=said)


def named(night) -> set[str]:
    return set(json.loads(night.home.current.read_text())["exports"])


def test_what_is_configured_is_made_recorded_and_named(night):
    pytest.importorskip("gguf")
    assert export(night) is None
    assert named(night) == {"gguf", "merged"} and night.said == [("export", "gguf"), ("export", "merged")]
    for kind, entry in night.record["exports"].items():
        assert entry["passed"] and entry["kl"] < entry["moved"] and (night.home.root / entry["path"] / "manifest.json").is_file(), kind


def test_a_kind_that_cannot_be_made_is_named_and_the_others_are_made(night, tmp_path, monkeypatch):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/gguf.py").write_text("raise ModuleNotFoundError('no gguf', name='gguf')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    assert export(night) is None
    assert night.record["exports"]["gguf"] == {"problem": "gguf is not installed, and this format needs it"}
    assert named(night) == {"merged"} and store.incumbent(night.home) is not None


def test_a_conversation_comes_first(night):
    night.signals.received = 15
    assert export(night) == "signal 15"
    assert named(night) == set() and night.record["exports"]["merged"] == {"problem": "not made: signal 15"}



def test_a_conversation_ends_it_in_the_middle_of_a_kind(night, monkeypatch):
    """What is whole stays, what was begun has no name, and no process is left."""
    from edge_sleep.stages import export as stage

    begun: list[int] = []
    looks = iter(range(10**6))
    real = stage.subprocess.Popen
    monkeypatch.setattr(stage.subprocess, "Popen", lambda *given, **options: begun.append((made := real(*given, **options)).pid) or made)
    monkeypatch.setattr(stage, "interrupted", lambda _: "a talk" if next(looks) > 8 else None)
    began = time.monotonic()
    assert export(night) == "a talk" and time.monotonic() - began < 5
    assert night.record["exports"] == {kind: {"problem": "not made: a talk"} for kind in ("gguf", "merged")}
    with pytest.raises(ProcessLookupError):
        os.killpg(begun[0], 0)


def test_a_builder_that_dies_is_named(night, monkeypatch):
    from edge_sleep.stages import export as stage

    monkeypatch.setattr(stage.sys, "executable", "false")
    assert export(night) is None
    assert night.record["exports"]["gguf"] == {"problem": "not made: it ended with 1 before it was made"}
