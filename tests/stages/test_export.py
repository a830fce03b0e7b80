"""The last stage of a promoting night: exports that are made, compared, recorded; and what fails undoes nothing."""
from __future__ import annotations

import json
import shutil
import sys
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
    export(night)
    assert named(night) == {"gguf", "merged"} and night.said == [("export", "gguf"), ("export", "merged")]
    for kind, entry in night.record["exports"].items():
        assert entry["passed"] and entry["kl"] < entry["moved"] and (night.home.root / entry["path"] / "manifest.json").is_file(), kind


def test_a_kind_that_cannot_be_made_is_named_and_the_others_are_made(night, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    export(night)
    assert night.record["exports"]["gguf"] == {"problem": "gguf is not installed, and this format needs it"}
    assert named(night) == {"merged"} and store.incumbent(night.home) is not None


def test_a_conversation_comes_first(night):
    night.signals.received = 15
    export(night)
    assert named(night) == set() and night.record["exports"]["merged"] == {"problem": "not made: signal 15"}

