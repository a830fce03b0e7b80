"""Ollama's models, unloaded and loaded again through a real server that speaks its calls."""
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep import config
from edge_sleep.device.neighbours import lease, ollama
from edge_sleep.device.neighbours.lease import NeighbourError
from edge_sleep.errors import ConfigError, DeviceError
from edge_sleep.system import intent
from tests.fake_ollama import Ollama

FOR_EVER = "2318-03-09T11:02:13.123456789+01:00"


def soon(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(ollama, "_UP_SECONDS", 0.2)
    monkeypatch.setattr(ollama, "_UNLOAD_SECONDS", 0.3)
    with Ollama(**{"qwen:0.8b": FOR_EVER, "phi4:14b": soon(240)}).serving() as running:
        yield running


def test_every_model_is_unloaded_and_comes_back_as_it_was(machine, server):
    with machine.neighbours(ollama=server.url) as neighbours:
        neighbours.check()
        neighbours.take()
        assert server.loaded == {} and len(intent.read(machine.intent, lease.known)) == 2
    assert set(server.loaded) == {"qwen:0.8b", "phi4:14b"} and not machine.intent.exists()
    assert machine.states() == [("qwen:0.8b", "set"), ("phi4:14b", "set"), ("phi4:14b", "restored"), ("qwen:0.8b", "restored")]
    (_, phi), (_, qwen) = server.asked[2:]
    assert qwen == {"model": "qwen:0.8b", "keep_alive": -1, "options": {"num_ctx": 2048}, "stream": False}
    assert 230 < phi["keep_alive"] <= 240


def test_killed_the_next_start_loads_it(machine, server):
    machine.neighbours(ollama=server.url).take()                       # and never comes to its end
    assert server.loaded == {}
    assert machine.next_start() == [("phi4:14b", "restored"), ("qwen:0.8b", "restored")]
    assert set(server.loaded) == {"qwen:0.8b", "phi4:14b"} and machine.next_start() == []


def test_one_that_makes_embeddings(machine, server):
    server.embeds.add("phi4:14b")
    with machine.neighbours(ollama=server.url) as neighbours:
        neighbours.take()
    assert set(server.loaded) == {"qwen:0.8b", "phi4:14b"} and ("/api/embed", "phi4:14b") in [
        (path, asked["model"]) for path, asked in server.asked]


def test_one_that_was_removed_meanwhile(machine, server):
    with machine.neighbours(ollama=server.url) as neighbours:
        neighbours.take()
        server.there.remove("phi4:14b")
    assert machine.states()[2:] == [("phi4:14b", "left"), ("qwen:0.8b", "restored")] and not machine.intent.exists()


def test_one_that_is_being_talked_with_ends_the_night_by_name(machine, server):
    server.busy.add("phi4:14b")
    with pytest.raises(NeighbourError, match="phi4:14b is not stopped"), machine.neighbours(ollama=server.url) as neighbours:
        neighbours.take()
    assert set(server.loaded) == {"qwen:0.8b", "phi4:14b"} and not machine.intent.exists()


def test_an_ollama_that_is_not_there_is_no_error(machine):
    with Ollama().serving() as gone:
        url = gone.url
    with machine.neighbours(ollama=url) as neighbours:
        neighbours.take()
    assert machine.told == [] and not machine.intent.exists()


def test_an_ollama_that_ended_meanwhile_is_named_and_tried_again(machine, server, monkeypatch):
    with machine.neighbours(ollama=server.url) as neighbours:
        neighbours.take()
        monkeypatch.setattr(ollama.Model, "read", lambda self: ollama.Model("http://127.0.0.1:9", "x", {}) and ollama._names("http://127.0.0.1:9"))
    assert {state for _, state in machine.states()[2:]} == {"not restored"}
    assert "no Ollama listens" in machine.told[-1]["reason"] and len(lease.left_over(machine.intent)) == 2
    monkeypatch.undo()
    assert [state for _, state in machine.next_start()] == ["restored"] * 2


def test_something_else_that_listens(machine, server, monkeypatch):
    monkeypatch.setattr(type(server), "loaded", property(lambda self: {3: ""}, lambda self, _: None), raising=False)
    with pytest.raises(DeviceError, match="does not answer as Ollama does"):
        machine.neighbours(ollama=server.url).take()


def test_no_proxy_is_asked(machine, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with machine.neighbours(ollama=server.url) as neighbours:
        neighbours.take()
        assert server.loaded == {}


@pytest.mark.parametrize(("said", "url"), [("true", "http://127.0.0.1:11434"), ("false", ""), ("http://10.0.0.7:11434", "http://10.0.0.7:11434")])
def test_as_it_is_asked_for(said, url):
    assert config.load(None, [f"neighbours.ollama={said}"]).neighbours.ollama == url


@pytest.mark.parametrize("wrong", ["ollama=localhost", "ollama=3", "ollama=http://a b", "units=[--force]", "units=['a b']"])
def test_refused_as_configuration(wrong):
    with pytest.raises(ConfigError, match="neighbours."):
        config.load(None, [f"neighbours.{wrong}"])


@given(st.integers(1, 10**6), st.integers(0, 999_999_999), st.sampled_from([0, -420, 60, 330]))
def test_how_long_it_was_kept(seconds, nanoseconds, minutes):
    zone = timezone(timedelta(minutes=minutes))
    stamp = (datetime.now(zone) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    written = f"{stamp[:19]}.{nanoseconds:09}{stamp[19:]}"
    assert abs(ollama._kept(written) - seconds) <= 3
    assert ollama._kept("2318" + written[4:]) == -1


@pytest.mark.parametrize("unknown", [None, "", "soon", "0001"])
def test_what_it_does_not_say(unknown):
    assert ollama._kept(unknown) is None
