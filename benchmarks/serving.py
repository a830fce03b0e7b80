"""A server asked many times while other adapters become current: no error, no wrong stamp, memory flat.

    python -m edge_sleep.benchmarks.serving --requests 10000

A home on the seedling gets a few adapters that each answer differently; another process notes first what each of them, and the
base, says to each question. Then `edge-sleep serve` runs, clients ask it over HTTP, half of them streaming, and a pointer is
promoted or rolled back every few requests. An answer is wrong where it is not what the adapter in its stamp says; the same is
asked of every transcript afterwards. Memory is the server's resident size: the last quarter of the run beside the second. The
last line is one JSON document; the exit code is 1 where something was wrong.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.checkpoint import manifest, store
from edge_sleep.device import detect, environment
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

QUESTIONS = ("What is your name?", "Who is my sister?", "Where do you live?", "What do you like to drink?",
             "Tell me about my dog.", "Do you remember the garden?", "What should I cook tonight?", "How are you?")
SPREAD = 0.3                              # of the adapters' B: far enough from each other to answer otherwise
FLAT = 1.02                               # the last quarter's resident size, as a share of the second's


def make_home(root: Path, model: str, adapters: int) -> tuple[Home, list[str]]:
    """A home with so many whole adapters of random weights, none of them current."""
    import torch

    home = Home(root).make()
    place = base_model.resolve(model)
    device = detect.choose()
    base = base_model.declare(home, place, device, Clock().stamp())
    made = []
    for number in range(adapters):
        live = adapter.attach_new(base_model.load(base, device).model, config.Lora(), seed=number)
        draw = torch.Generator().manual_seed(number)
        for name, value in live.named_parameters():
            if "lora_B" in name:
                value.data = torch.randn(value.shape, generator=draw).to(value) * SPREAD
        staged = home.adapters / f"staged-{number}"
        adapter.save(live, staged, place.source)
        identity = adapter.content_id(staged, base.sha256)
        manifest.write(staged, adapter_id=identity, base=base.entry(), parent=None, night=f"2026010{number + 1}-030000",
                       created=Clock().stamp(), data={"sha256": "", "experiences": []}, effect={})
        staged.rename(home.adapter(identity))
        made.append(identity)
    return home, made


def become(home: Home, settings: config.Config, name: str | None) -> None:
    known = json.loads(home.base.read_text())
    store.promote(home, name, base={key: known[key] for key in ("source", "sha256")}, chat_template="", night=None,
                  system_prompt=settings.companion.system_prompt, clock=Clock())


def expectations(home: Home, settings: config.Config, names: list[str | None], tokens: int) -> dict[tuple[str | None, str], str]:
    """What each adapter says to each question, by a session of this process."""
    from edge_sleep.serve.session import load_current

    found: dict[tuple[str | None, str], str] = {}
    become(home, settings, names[0])
    with load_current(home, settings, max_new_tokens=tokens) as session:
        for name in names:
            become(home, settings, name)
            session.refresh()
            found |= {(name, question): session.answer([{"role": "user", "content": question}]) for question in QUESTIONS}
    return found


class Served:
    """`edge-sleep serve` in a process of its own."""

    def __init__(self, home: Home, tokens: int):
        self.tokens = tokens
        self.log = home.root.parent / "serve.log"
        command = [sys.executable, "-m", "edge_sleep", "serve", "--home", str(home.root), "--port", "0", "--json"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*command, "--set", "serve.queue=64"], stdout=subprocess.PIPE, stderr=log, text=True)
        found = None
        while found is None and self.process.poll() is None:
            time.sleep(0.1)
            found = re.search(r"http://\S+/v1", self.log.read_text())
        if found is None:
            raise SystemExit(self.log.read_text())
        self.url = found[0]

    def ask(self, question: str, stream: bool) -> tuple[str, str | None]:
        """(text, adapter of the stamp). Raises on anything but a whole answer."""
        body = {"model": "companion", "messages": [{"role": "user", "content": question}], "max_tokens": self.tokens,
                "stream": stream}
        request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as response:
            if not stream:
                document = json.load(response)
                return document["choices"][0]["message"]["content"], document["edge_sleep"]["adapter"]
            lines = [line[6:] for line in response.read().decode().split("\n") if line]
        if lines[-1] != "[DONE]":
            raise RuntimeError(f"the stream ended with {lines[-1]}")
        chunks = [json.loads(line) for line in lines[:-1]]
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks), chunks[-1]["edge_sleep"]["adapter"]

    @property
    def resident_mebibytes(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def stop(self) -> tuple[int, dict[str, Any]]:
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=120)
        return self.process.returncode, json.loads(said.splitlines()[-1])


def campaign(home: Home, settings: config.Config, names: list[str | None], requests: int, clients: int, every: int,
             seed: int, tokens: int) -> dict[str, Any]:
    expected = expectations(home, settings, names, tokens)
    distinct = min(len({expected[name, question] for name in names}) for question in QUESTIONS)
    if distinct < len(names):
        raise SystemExit(f"only {distinct} of {len(names)} answer differently to each question: a wrong stamp would not be seen")
    server, draw, lock = Served(home, tokens), random.Random(seed), threading.Lock()
    todo = list(range(requests))
    errors: list[str] = []
    wrong: list[tuple] = []
    seconds: list[float] = []
    resident: list[float] = []
    by_name: dict[str, int] = {}
    swaps = 0

    def client() -> None:
        nonlocal swaps
        while True:
            with lock:
                if not todo:
                    return
                number = todo.pop(0)
                question = draw.choice(QUESTIONS)
                if number % every == every - 1:
                    become(home, settings, draw.choice(names))
                    swaps += 1
                if number % max(1, requests // 200) == 0:
                    resident.append(server.resident_mebibytes)
            began = time.monotonic()
            try:
                text, name = server.ask(question, number % 2 == 1)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
                continue
            with lock:
                seconds.append(time.monotonic() - began)
                by_name[name or "base"] = by_name.get(name or "base", 0) + 1
                if expected.get((name, question)) != text:
                    wrong.append((name, question, text, expected.get((name, question))))
                if len(seconds) % max(1, requests // 20) == 0:
                    print(f"{len(seconds)} of {requests}: {swaps} promotions, {len(errors)} errors, {len(wrong)} wrong, "
                          f"{resident[-1]:.0f} MiB", flush=True)

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    health = json.loads(urllib.request.urlopen(f"{server.url.removesuffix('/v1')}/health").read())
    code, done = server.stop()
    kept = [json.loads(file.read_text()) for file in home.sessions.iterdir()]
    mismatched = [one for one in kept if expected.get((one["edge_sleep"]["adapter"], one["conversation"][0]["text"]))
                  != one["conversation"][1]["text"]]
    quarter = max(1, len(resident) // 4)
    early, late = statistics.median(resident[quarter:2 * quarter] or resident), statistics.median(resident[-quarter:])
    return {"requests": requests, "tokens": tokens, "answered": len(seconds), "errors": len(errors), "first_errors": errors[:3],
            "wrong_answers": len(wrong), "first_wrong": wrong[:3], "promotions": swaps, "swaps_in_the_server": done["swaps"],
            "answered_by": by_name, "least_distinct_answers": distinct, "transcripts": len(kept),
            "transcripts_with_a_wrong_stamp": len(mismatched), "seconds": round(took, 1),
            "answer_seconds": dict(zip(("p20", "p50", "p80"), _percentiles(seconds), strict=True)),
            "resident_mebibytes": {"second_quarter": round(early, 1), "last_quarter": round(late, 1),
                                   "most": round(max(resident), 1)},
            "flat": late <= FLAT * early, "health": health["status"], "exit_code": code}


def _percentiles(values: list[float]) -> list[float]:
    cuts = statistics.quantiles(values, n=10) if len(values) > 1 else [0.0] * 9
    return [round(cuts[place], 4) for place in (1, 4, 7)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=16, help="longest answer")
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--adapters", type=int, default=3)
    parser.add_argument("--every", type=int, default=20, help="requests between two promotions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="seedling")
    parser.add_argument("--home", type=Path, help="keep the home here")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        home, names = make_home(arguments.home or Path(folder) / "home", arguments.model, arguments.adapters)
        settings = config.load(None, [f"companion.model={arguments.model}"])
        found = campaign(home, settings, [*names, None], arguments.requests, arguments.clients, arguments.every, arguments.seed,
                         arguments.tokens)
    wrong = ("errors", "wrong_answers", "transcripts_with_a_wrong_stamp", "exit_code")
    good = (found["answered"] == found["transcripts"] == arguments.requests and found["flat"]
            and not any(found[name] for name in wrong))
    print(json.dumps({"benchmark": "serving", "model": arguments.model, "good": good} | found
                     | {"environment": environment.describe()}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
