"""The endpoint as clients see it, in this process, with a parrot for a model."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from edge_sleep import config
from edge_sleep.errors import UsageError
from edge_sleep.serve import api
from edge_sleep.serve.access import Access, is_loopback, token_of
from edge_sleep.serve.engine import Engine
from edge_sleep.serve.metrics import Metrics
from edge_sleep.system.home import Home

HELLO = {"model": "companion", "messages": [{"role": "user", "content": "hello"}]}


class Served:
    def __init__(self, root: Path):
        self.home, self.told, self.engine = Home(root / "home").make(), [], None

    def __call__(self, *sets: str, token: str | None = None) -> TestClient:
        settings, metrics = config.load(None, list(sets)), Metrics()
        self.engine = Engine(self.home, settings, metrics, self.told.append)
        self.engine.start()
        return TestClient(api.app(self.engine, Access(token), metrics, settings.serve, self.told.append), "http://localhost:8327",
                          raise_server_exceptions=False)

    @property
    def kept(self) -> list[list[str]]:
        return [[turn["text"] for turn in json.loads(file.read_text())["conversation"]] for file in sorted(self.home.sessions.glob("*"))]


@pytest.fixture
def served(parrot, tmp_path: Path):
    served = Served(tmp_path)
    yield served
    if served.engine is not None:
        served.engine.stop()


def ask(client: TestClient, **more):
    # Escaped by hand: a client's own JSON may refuse to write half of a surrogate pair.
    return client.post("/v1/chat/completions", content=json.dumps(HELLO | more), headers={"content-type": "application/json"})


def events(text: str) -> list:
    return [json.loads(line) if line != "[DONE]" else line for line in text.replace("data: ", "").split("\n\n") if line]


def test_an_answer_in_one_piece(served: Served) -> None:
    found = ask(served()).json()
    [choice] = found["choices"]
    assert choice == {"index": 0, "message": {"role": "assistant", "content": "I heard hello", "refusal": None}, "logprobs": None,
                      "finish_reason": "stop"}
    assert found["object"] == "chat.completion" and found["model"] == "companion"
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + 14 and found["system_fingerprint"] == f"base@{'b' * 16}"
    assert found["edge_sleep"]["runtime"] == "transformers" and found["edge_sleep"]["recorded"] is True
    assert served.kept == [["hello", "I heard hello"]]


def test_an_answer_in_pieces(served: Served) -> None:
    response = ask(served(), stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, last, usage, done = events(response.text)
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "I heard hello" and len(chunks) > 5
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"][0]["finish_reason"] == "stop" and last["edge_sleep"]["adapter"] is None
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 14 and done == "[DONE]"
    assert len({event["id"] for event in (*chunks, last, usage)}) == 1
    assert served.kept == [["hello", "I heard hello"]]


@pytest.mark.parametrize("more, text, finish", [
    ({"max_tokens": 7}, "I heard", "length"), ({"max_completion_tokens": 6, "max_tokens": 3}, "I hear", "length"),
    ({"stop": "ard"}, "I he", "stop"), ({"stop": ["x", " "]}, "I", "stop"), ({"stop": None, "n": 1, "seed": 3, "user": "u"}, "I heard hello", "stop"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}, "I heard a", "stop"),
    ({"presence_penalty": 0, "tools": [], "response_format": {"type": "text"}}, "I heard hello", "stop")])
def test_what_a_request_may_say(served: Served, more: dict, text: str, finish: str) -> None:
    [choice] = ask(served(), **more).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, finish)


@pytest.mark.parametrize("more, status, param", [
    ({"model": "gpt-4o"}, 404, "model"), ({"model": "\ud800" * 200}, 404, "model"), ({"model": "0123456789abcdef"}, 404, "model"), ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages"), ({"messages": [{"role": "user", "content": " "}]}, 400, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"), ({"messages": "hello"}, 400, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 400, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "x" * 5000}]}, 400, "messages"), ({"max_tokens": 0}, 400, "max_tokens"),
    ({"temperature": 3}, 400, "temperature"), ({"temperature": "hot"}, 400, "temperature"), ({"top_p": 0}, 400, "top_p"), ({"n": 2}, 400, "n"),
    ({"stop": ["a"] * 5}, 400, "stop"), ({"stop": ""}, 400, "stop"), ({"tools": [{"type": "function"}]}, 400, "tools"),
    ({"response_format": {"type": "json_object"}}, 400, "response_format"), ({"logprobs": True}, 400, "logprobs"), ({"seed": 2**80}, 400, "seed"),
    ({"frequency_penalty": 1.5}, 400, "frequency_penalty")])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_done_is_refused_by_name(served: Served, more: dict, status: int, param: str, stream: bool) -> None:
    response = ask(served(), stream=stream, **more)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param), error
    assert error["type"] == "invalid_request_error" and error["code"] and error["message"] and not served.kept


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"null", b"\xff\xfe", b'"x"', b'{"model": "companion", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
                                  b'{"model": "companion", "messages": [{"role": "user", "content": "x"}], "x": Infinity, "max_tokens": 1e400}'])
def test_a_body_that_is_no_request(served: Served, body: bytes) -> None:
    response = served().post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


def test_limits_of_a_request(served: Served) -> None:
    client = served("serve.max_request_bytes=2048", "serve.max_new_tokens=5")
    assert ask(client, messages=[{"role": "user", "content": "x" * 2048}]).status_code == 413

    def parts():
        yield from [b" " * 1000] * 5                             # no length stated

    assert client.post("/v1/chat/completions", content=parts(), headers={"content-type": "application/json"}).status_code == 413
    assert client.post("/v1/chat/completions", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    assert ask(client, max_tokens=4000).json()["usage"]["completion_tokens"] == 5
    assert (client.get("/v1/chat/completions").status_code, client.get("/nothing").status_code) == (405, 404)
    assert client.get("/nothing").json()["error"]["code"] == "not_found"


def test_more_than_may_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served()
    monkeypatch.setattr(served.engine, "submit", lambda _: False)
    response = ask(client)
    assert response.status_code == 429 and response.headers["retry-after"] == "10"
    assert response.json()["error"]["type"] == "rate_limit_error"


def test_a_bug_is_told_and_not_shown_to_others(served: Served, parrot) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("inside")

    client = served()
    parrot.before = fail
    assert ask(client).status_code == 500 and any("Traceback" in told for told in served.told)
    assert ask(client, stream=True).status_code == 500, "known before the first piece: a status, not an event"


def test_an_error_in_the_middle_of_a_stream_is_an_event(served: Served, parrot, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served()

    def breaks(ids, options, on_token):
        for letter in b"half":
            on_token(letter)
        raise MemoryError

    monkeypatch.setattr(parrot, "generate", breaks)
    *chunks, last = events(ask(client, stream=True).text)
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "half"
    assert last["error"]["code"] == "DoesNotFit" and not served.kept


@pytest.mark.parametrize("mode, status, prompts", [("ignore", 200, "companion who learns"), ("follow", 200, "You are a pirate."), ("refuse", 400, None)])
def test_a_system_message(served: Served, parrot, mode: str, status: int, prompts: str | None) -> None:
    fed: list[str] = []
    client = served(f"serve.system_messages={mode}")
    given = parrot.generate
    parrot.generate = lambda ids, *rest: (fed.append("".join(map(chr, ids))), given(ids, *rest))[1]
    response = ask(client, messages=[{"role": "system", "content": "You are a pirate."}, *HELLO["messages"]])
    assert response.status_code == status
    if prompts is not None:
        assert prompts in fed[0] and ("pirate" in fed[0]) == (mode == "follow")
        assert response.json()["edge_sleep"]["recorded"] is (mode == "ignore"), "what was said in a part teaches nothing"


@pytest.mark.parametrize("sets, more, kept", [((), {}, 1), ((), {"store": False}, 0), ((), {"store": True}, 1), (("serve.record=false",), {}, 0)])
def test_what_is_kept(served: Served, sets: tuple, more: dict, kept: int) -> None:
    assert ask(served(*sets), **more).json()["edge_sleep"]["recorded"] is bool(kept)
    assert len(served.kept) == kept


def test_neighbours_of_one_role_are_one_utterance(served: Served) -> None:
    ask(served(), messages=[{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    assert served.kept[0][0] == "one\ntwo"


# ---- who may ask -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("headers, status", [
    ({}, 200), ({"host": "127.0.0.1:8327"}, 200), ({"host": "[::1]:8327"}, 200), ({"host": "evil.example"}, 403), ({"host": "192.168.1.7"}, 403),
    ({"host": ""}, 403), ({"origin": "http://localhost:3000"}, 200), ({"origin": "https://evil.example"}, 403), ({"origin": "null"}, 403),
    ({"host": "localhost.evil.example"}, 403), ({"host": "[::1"}, 403)])
@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics"])
def test_on_the_loopback_only_this_machine(served: Served, headers: dict, status: int, path: str) -> None:
    assert served().get(path, headers=headers).status_code == status


@pytest.mark.parametrize("headers, status", [
    ({}, 401), ({"authorization": "Bearer wrong"}, 401), ({"authorization": "right-token"}, 401), ({"authorization": "Basic right-token"}, 401),
    ({"authorization": "Bearer "}, 401), ({"authorization": "Bearer rïght".encode("latin-1")}, 401),
    ({"authorization": "Bearer right-token", "host": "board.local", "origin": "https://x.example"}, 200), ({"authorization": "bearer right-token"}, 200)])
def test_with_a_token_whoever_has_it(served: Served, headers: dict, status: int) -> None:
    client = served(token="right-token")
    assert client.get("/v1/models", headers=headers).status_code == status
    assert client.get("/metrics", headers=headers).status_code == status
    health = client.get("/health", headers=headers)
    assert health.status_code == 200 and ("identity" in health.json()) == (status == 200)


@pytest.mark.parametrize("host, loopback", [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
                                            ("::", False), ("192.168.0.2", False), ("board.local", False), ("", False)])
def test_what_a_loopback_is(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_token_is_its_owners_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    token = token_of(home)
    assert len(token) >= 40 and token_of(home) == token
    assert (home.keys.stat().st_mode & 0o777, (home.keys / "serve.token").stat().st_mode & 0o777) == (0o700, 0o600)
    for place in (home.keys, home.keys / "serve.token"):
        mode = place.stat().st_mode & 0o777
        place.chmod(mode | 0o040)
        with pytest.raises(UsageError, match="can be read by others"):
            token_of(home)
        place.chmod(mode)
    (home.keys / "serve.token").write_text("\n")
    with pytest.raises(UsageError, match="holds no token"):
        token_of(home)


# ---- what it tells ---------------------------------------------------------------------------------------

def test_models_health_and_metrics(served: Served) -> None:
    client = served()
    ask(client)
    [model] = client.get("/v1/models").json()["data"]
    assert model["id"] == "companion" and model["object"] == "model" and model["edge_sleep"]["runtime"] == "transformers"
    assert client.get("/v1/models/companion").json() == model and client.get("/v1/models/other").status_code == 404
    health = client.get("/health").json()
    assert (health["status"], health["loaded"], health["problems"], health["night_lock"]) == ("ok", True, [], None)
    assert health["session_lock"]["what"] == "a conversation (serve)"
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    for line in ('edge_sleep_requests_total{path="/v1/chat/completions",status="200"} 1.0', 'edge_sleep_tokens_total{kind="completion"} 14.0',
                 "edge_sleep_model_loaded 1.0", "edge_sleep_problems 0.0", "edge_sleep_recorded_exchanges_total 1.0"):
        assert line in page.text.splitlines()
    assert 'adapter="base"' in page.text and "hello" not in page.text
