"""A real server process on a real micro-home, asked by OpenAI's own client and by curl."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.model import adapter
from edge_sleep.system import lock
from edge_sleep.system.home import Home
from tests import micro
from tests.serve.test_session import become_current, flip, grow

pytestmark = pytest.mark.night
FERNS = "Who waters the ferns?"


class Server:
    """`edge-sleep serve` in a process of its own."""

    def __init__(self, home: Path, *sets: str, arguments: tuple[str, ...] = ()):
        words = [word for item in sets for word in ("--set", item)]
        self.log = home.parent / f"serve-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_sleep", "serve", "--home", str(home), "--port", "0", "--json", *arguments, *words],
                stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        found = None
        until = time.monotonic() + 600
        while found is None and self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            found = re.search(r"http://\S+?:(\d+)/v1", self.told)
        assert found, self.told
        self.port = int(found[1])

    @property
    def told(self) -> str:
        return self.log.read_text()

    def get(self, path: str, token: str | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}",
                                         headers={"authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.read()

    @property
    def health(self) -> dict:
        return json.loads(self.get("/health"))

    def count(self, name: str) -> float:
        lines = self.get("/metrics").decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"edge_sleep_{name} "))

    def curl(self, document: dict, *more: str, path: str = "/v1/chat/completions") -> str:
        return subprocess.run(
            ["curl", "-sS", "-N", "--max-time", "300", f"http://127.0.0.1:{self.port}{path}", "-H", "Content-Type: application/json",
             "-d", json.dumps(document), *more], check=True, capture_output=True, text=True).stdout

    def ask(self, prompt: str = FERNS, **more) -> dict:
        return json.loads(self.curl({"model": "companion", "messages": [{"role": "user", "content": prompt}], "max_tokens": 6} | more))

    def stop(self) -> tuple[int, dict]:
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=300)
        return self.process.returncode, json.loads(said.splitlines()[-1]) if said else {}


@pytest.fixture(scope="module")
def running(_one_micro_night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Home, str]]:
    """(server, its home, the adapter of its night); shared, so a test leaves the adapter current that it found."""
    root = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(_one_micro_night.root, root)
    server = Server(root, "serve.idle=6s")
    yield server, Home(root), _one_micro_night.record["candidate"]
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def client(running):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{running[0].port}/v1", api_key="none", max_retries=0, timeout=300) as client:
        yield client


def test_openais_own_client(running, client) -> None:
    import openai
    server, home, first = running
    assert [model.id for model in client.models.list()] == ["companion", first]
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": FERNS}]
    whole = client.chat.completions.create(model="companion", messages=talk, max_tokens=12)
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 12
    assert whole.system_fingerprint.startswith(f"{first}@") and whole.model_extra["edge_sleep"]["adapter"] == first
    with client.chat.completions.create(model=first, messages=talk, max_tokens=12, stream=True,
                                        stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage and chunks[-2].system_fingerprint == whole.system_fingerprint
    with pytest.raises(openai.NotFoundError, match="no model is called gpt-4o"):
        client.chat.completions.create(model="gpt-4o", messages=talk)
    with pytest.raises(openai.BadRequestError, match="tools is not supported"):
        client.chat.completions.create(model="companion", messages=talk, tools=[{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(openai.BadRequestError, match="this base reads at most 512"):
        client.chat.completions.create(model="companion", messages=[{"role": "user", "content": "fern " * 600}])


def test_a_conversation_by_the_client_is_one_stamped_transcript(running, client) -> None:
    server, home, first = running
    talk = [{"role": "user", "content": "What do we drink at four, and why?"}]
    for more in ("And who waters the ferns?", "Where is the lamp?", None):
        said = client.chat.completions.create(model="companion", messages=talk, max_tokens=4)
        talk += [{"role": "assistant", "content": said.choices[0].message.content}, {"role": "user", "content": more}]
    [file] = [file for file in home.sessions.iterdir() if talk[0]["content"] in file.read_text()]
    document = json.loads(file.read_text())
    assert [turn["text"] for turn in document["conversation"]] == [message["content"] for message in talk[:-1]]
    stamp = said.model_extra["edge_sleep"]
    assert document["edge_sleep"] == {name: value for name, value in stamp.items() if name not in ("recorded", "finish")}


def test_curl(running) -> None:
    server, _, first = running
    whole = server.ask()
    assert whole["edge_sleep"]["adapter"] == first and whole["object"] == "chat.completion"
    lines = [line.removeprefix("data: ") for line in server.curl(
        {"model": "companion", "messages": [{"role": "user", "content": FERNS}], "max_tokens": 6, "stream": True}).split("\n") if line]
    assert lines[-1] == "[DONE]"
    assert "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]) == whole["choices"][0]["message"]["content"]
    assert json.loads(server.curl({}))["error"]["type"] == "invalid_request_error"
    assert server.health["status"] == "ok" and b"edge_sleep_requests_total" in server.get("/metrics")


def test_the_adapter_swapped_behind_its_back(running) -> None:
    """Weights on the disk are replaced while it serves: it is named, what was verified answers, and when they are back all is well."""
    server, home, first = running
    file, before = home.adapter(first) / adapter.WEIGHTS, server.ask()
    whole = file.read_bytes()
    flip(home, first)
    after = server.ask()
    assert after["choices"] == before["choices"] and after["edge_sleep"]["adapter"] == first
    health = server.health
    assert health["status"] == "degraded" and "does not match its sha256" in health["problems"][0]
    assert b"\nedge_sleep_problems 2.0" in server.get("/metrics") and "does not match its sha256" in server.told
    file.write_bytes(whole)
    server.ask()
    assert server.health["status"] == "ok"


def test_a_new_adapter_between_requests_and_back(running) -> None:
    server, home, first = running
    old, loads = server.ask(), server.count("load_seconds_count")
    new = grow(home, first, -2.0)
    said = server.ask()
    assert said["edge_sleep"]["adapter"] == new and said["choices"] != old["choices"]
    assert json.loads(server.curl({"model": first, "messages": [{"role": "user", "content": FERNS}]}))["error"]["code"] == "model_not_found"
    become_current(home, first)
    assert server.ask()["choices"] == old["choices"]
    assert server.health["problems"] == [] and server.count("load_seconds_count") == loads, "the base was not loaded again"


def test_swaps_while_many_ask(running) -> None:
    """Every answer is that of the adapter in its stamp, whoever else asks and whatever becomes current meanwhile."""
    server, home, first = running
    prompt, second = "Who waters the ferns on Sunday?", grow(home, first, 3.0)
    expected = {second: server.ask(prompt)["choices"][0]["message"]["content"]}
    become_current(home, first)
    expected[first] = server.ask(prompt)["choices"][0]["message"]["content"]
    assert expected[first] != expected[second]
    found: list[dict] = []
    threads = [threading.Thread(target=lambda: found.extend(server.ask(prompt) for _ in range(5))) for _ in range(3)]
    for thread in threads:
        thread.start()
    turn = 0
    while any(thread.is_alive() for thread in threads):
        become_current(home, (second, first)[turn % 2])
        turn += 1
        time.sleep(0.05)
    become_current(home, first)
    assert len(found) == 15 and turn > 4
    said = [(one["edge_sleep"]["adapter"], one["choices"][0]["message"]["content"]) for one in found]
    kept = [json.loads(file.read_text()) for file in home.sessions.iterdir() if prompt in file.read_text()]
    said += [(one["edge_sleep"]["adapter"], one["conversation"][-1]["text"]) for one in kept]
    assert len(said) == 15 + 17 and all(text == expected[who] for who, text in said)


def test_a_client_that_leaves_ends_its_answer(running) -> None:
    server, _, _ = running
    tokens, kept = server.count('tokens_total{kind="completion"}'), server.count("recorded_exchanges_total")
    body = json.dumps({"model": "companion", "messages": [{"role": "user", "content": FERNS}], "max_tokens": 200, "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        with connection.makefile("rb") as answer:                  # the header may come in a packet of its own
            assert any(b"chat.completion.chunk" in line for line in answer)
    assert server.ask()["usage"]["completion_tokens"] == 6
    assert server.count('tokens_total{kind="completion"}') - tokens < 206, "it went on to the end"
    assert server.count("recorded_exchanges_total") - kept == 1, "what was cut short is not learned"


def test_with_a_token(micro_home) -> None:
    import urllib.error
    with lock.hold(Home(micro_home.root).night_lock, "a night"):     # so it loads nothing yet
        server = Server(micro_home.root, "serve.token=always")
    try:
        token = (micro_home.root / "keys" / "serve.token").read_text().strip()
        assert str(micro_home.root / "keys" / "serve.token") in server.told and token not in server.told
        with pytest.raises(urllib.error.HTTPError, match="401"):
            server.get("/v1/models")
        assert b"companion" in server.get("/v1/models", token) and json.loads(server.get("/health")) == {"status": "ok"}
    finally:
        assert server.stop()[0] == 0


def test_the_loop_closes(running, _one_micro_night, tmp_path: Path) -> None:
    """Talk to the server; when nobody does it gives the device back; a night learns from what was said; the next request is answered
    by what the night promoted. The last test of this module: the server is stopped."""
    server, home, first = running
    before = server.ask()
    assert before["edge_sleep"]["adapter"] == first
    for number, (prompt, _) in enumerate(micro.TALK):
        server.ask(f"{prompt} Tell me {number} things.", max_tokens=20, temperature=1.2, seed=number)
    assert lock.is_held(home.session_lock)
    until = time.monotonic() + 120
    while lock.is_held(home.session_lock):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert server.health["loaded"] is False
    # What the untrained micro-model said is noise: the gate that would refuse it is not what is shown here.
    micro.write_talk(tmp_path / "more", [(f"{prompt} Really?", answer) for prompt, answer in micro.TALK], number=2)
    record = micro.night(home.root, _one_micro_night.model, tmp_path / "more", "quality.enabled=false", "salience.keep=0")
    assert record["outcome"] == "promoted", record["reason"]
    assert record["data"]["sessions"] > 5, "the server's transcripts were read"
    after = server.ask()
    assert after["edge_sleep"]["adapter"] == record["candidate"] == store.incumbent(home) != first
    assert after["choices"][0]["message"]["content"] != before["choices"][0]["message"]["content"]
    newest = max(home.sessions.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert json.loads(newest.read_text())["edge_sleep"]["adapter"] == record["candidate"]
    code, done = server.stop()
    assert code == 0 and done["requests"] > 20 and not lock.is_held(home.session_lock)
