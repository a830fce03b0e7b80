"""One model at a time: what a stage loaded is gone before the next one loads its own."""
from __future__ import annotations

import weakref

import pytest

from edge_sleep.evaluate import court, rewriting, surprise
from edge_sleep.train import ready
from tests import micro

pytestmark = pytest.mark.night


def test_every_load_finds_the_one_before_it_gone(tmp_path, monkeypatch):
    loads: list[tuple[str, weakref.ref]] = []
    still_there: list[str] = []
    for room in (surprise, rewriting, ready, court):
        def load(*given, _room=room, _load=room.load):
            still_there.extend(name for name, model in loads if model() is not None)
            loaded = _load(*given)
            loads.append((_room.__name__.rpartition(".")[2], weakref.ref(loaded.model)))
            return loaded
        monkeypatch.setattr(room, "load", load)
    model = micro.make_model(tmp_path / "model")
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", "salience.by_model=true", "data.self_paraphrase=1")
    assert record["outcome"] == "promoted"
    assert [name for name, _ in loads] == ["surprise", "rewriting", "ready", "court"]
    assert still_there == []
