"""The real SDK against a server where things go wrong by a seeded schedule: all arrives once and whole, and says no secret.

Backoff, Retry-After and silence are on a manual clock; connections, TLS, cuts and damaged bytes are real.
"""
from __future__ import annotations

import io
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from edge_sleep.errors import EdgeSleepError
from edge_sleep.remote.protocol import Full, Remote, Taken, Unreachable
from edge_sleep.system.clock import ManualClock
from tests.fake_dropbox import FAULTS, Server
from tests.remote.conftest import CHUNK_BYTES, Open

T = TypeVar("T")
SHORT = 12
_SIZES = (0, 700, CHUNK_BYTES, 2 * CHUNK_BYTES + 1, 3 * CHUNK_BYTES)


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Every word that is logged, by anyone, at any level."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    handler.setLevel(logging.DEBUG)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def schedule(seed: int) -> Callable[[str], str | None]:
    """What goes wrong with each request: now and then something, sometimes the same several times in a row."""
    draw = random.Random(seed)
    rate, kinds = draw.uniform(.1, .5), draw.sample(FAULTS, draw.randint(2, len(FAULTS)))
    again: list[str] = []

    def fault(route: str) -> str | None:
        if again:
            return again.pop()
        if draw.random() > rate:
            return None
        kind = draw.choice(kinds)
        again.extend([kind] * (draw.randint(1, 7) if draw.random() < .1 else 0))
        return kind

    return fault


class Night:
    """A machine that sends, one that fetches, each beginning anew now and then, as processes do."""

    def __init__(self, seed: int, open_dropbox: Open, server: Server, clock: ManualClock, said: io.StringIO, folder: Path):
        self.draw, self.seed, self.clock, self.said, self.folder = random.Random(seed + 1), seed, clock, said, folder
        self.open, self.server = open_dropbox, server
        self.met: Counter[str] = Counter()

    def remote(self) -> Remote:
        return self.open(clock=self.clock, draw=self.draw.random)

    def done(self, what: Callable[[Remote], T]) -> T:
        """As the outbox does it: later, again, and in another process if that one ended."""
        remote = self.remote()
        for _ in range(200):
            try:
                return what(remote)
            except (Unreachable, Full) as error:
                self.met[type(error).__name__] += 1
                self.said.write("".join(traceback.format_exception(error)))
                self.clock.advance(getattr(error, "retry_after_seconds", None) or 60.0)
                if self.draw.random() < .5:
                    remote = self.remote()
        raise AssertionError(f"schedule {self.seed} does not end")

    def run(self) -> None:
        contents = {f"adapters/{index:02}/x.sealed": self.draw.randbytes(self.draw.choice(_SIZES)) for index in range(2)}
        outbox, inbox = self.folder / "outbox", self.folder / "inbox"
        outbox.mkdir()
        for index, (name, content) in enumerate(contents.items()):
            (outbox / f"{index}").write_bytes(content)
            self.done(lambda remote, name=name, index=index: remote.put(name, outbox / f"{index}", self.folder / f"note-{index}"))
        document = b'{"all": "there"}'
        self.done(lambda remote: published(remote, "adapters/manifest.json", document))
        self.done(lambda remote: remote.publish("beat.json", b"1", replace=True))
        names = {*contents, "adapters/manifest.json"}
        assert names == self.done(lambda remote: at_last(remote, names))
        for name, content in contents.items():
            self.done(lambda remote, name=name: remote.get(name, inbox / name))
            assert (inbox / name).read_bytes() == content, f"schedule {self.seed}: {name}"
        assert self.done(lambda remote: remote.read("adapters/manifest.json", 1000)) == document
        self.check({**contents, "adapters/manifest.json": document, "beat.json": b"1"}, inbox)

    def check(self, contents: dict[str, bytes], inbox: Path) -> None:
        stored = {path.removeprefix("/apps/edge sleep/"): item.content for path, item in self.server.files.items()}
        assert stored.keys() == contents.keys(), f"schedule {self.seed}"
        assert stored == contents, f"schedule {self.seed}"
        written = Counter(path.removeprefix("/apps/edge sleep/") for path, _ in self.server.log)
        mended = Counter(path.removeprefix("/apps/edge sleep/") for path in self.server.damaged)
        assert written == Counter(dict.fromkeys(contents, 1)) + mended, f"schedule {self.seed}: once, and once for each damage"
        left = {path.name for path in self.folder.rglob("*") if path.is_file()} - {"0", "1"} - {Path(name).name for name in contents}
        assert not left, f"schedule {self.seed}: {left}"
        assert sum(path.is_file() for path in inbox.rglob("*")) == 2
        everything = self.said.getvalue()
        assert "Request to files/upload" in everything or "HTTP/1.1" in everything, "nothing was logged: this would show nothing"
        for secret in self.server.secrets:
            assert secret not in everything, f"schedule {self.seed}: a token is in the logs"


def published(remote: Remote, name: str, content: bytes) -> None:
    """Make it visible; whoever finds it taken after an error looks whether it was they who took it."""
    try:
        remote.publish(name, content)
    except Taken:
        assert remote.read(name, 1000) == content


def at_last(remote: Remote, names: set[str]) -> set[str]:
    """What a list says once it is no longer behind."""
    found: set[str] = set()
    for _ in range(30):
        found = {entry.name for entry in remote.list("adapters/")}
        if found == names:
            return found
    return found


def run(seeds: range, tmp_path: Path, open_dropbox: Open, server: Server, clock: ManualClock, said: io.StringIO) -> Counter:
    met: Counter[str] = Counter()
    for seed in seeds:
        server.reset()
        server.clock, server.draw = clock, random.Random(seed + 2)
        plan = schedule(seed)

        def counted(route: str, plan: Callable[[str], str | None] = plan) -> str | None:
            fault = plan(route)
            met[fault or "none"] += 1
            return fault

        server.faults = counted
        said.seek(0)
        said.truncate()
        folder = tmp_path / str(seed)
        folder.mkdir()
        night = Night(seed, open_dropbox, server, clock, said, folder)
        night.run()
        met.update(night.met)
    return met


def test_some_schedules(tmp_path, open_dropbox, dropbox_server, on_manual_clock, said):
    met = run(range(SHORT), tmp_path, open_dropbox, dropbox_server, on_manual_clock, said)
    assert all(met[kind] for kind in FAULTS), f"a kind of fault never happened: {met}"
    assert met["Unreachable"] and met["Full"], "no schedule was hard enough"


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(5))
def test_five_hundred_schedules(tmp_path, open_dropbox, dropbox_server, on_manual_clock, said, capsys, hundred):
    begun, worked = time.monotonic(), time.process_time()
    seeds = range(SHORT + 100 * hundred, SHORT + 100 * (hundred + 1))
    met = run(seeds, tmp_path, open_dropbox, dropbox_server, on_manual_clock, said)
    with capsys.disabled():
        print(f"\n{len(seeds)} schedules, {sum(met[kind] for kind in (*FAULTS, 'none'))} requests, {time.monotonic() - begun:.0f} s "
              f"({time.process_time() - worked:.0f} s of CPU), {on_manual_clock.monotonic() / 3600:.1f} h on the manual clock, "
              f"{dict(met.most_common())}")


def test_an_error_says_no_secret_even_where_dropbox_quotes_it(open_dropbox, dropbox_server, said):
    """A token that Dropbox does not understand comes back in its answer."""
    remote = open_dropbox()
    remote._calls.client._oauth2_access_token = secret = "garbled-token-of-mine"
    remote._calls.client._oauth2_access_token_expiration = datetime(2100, 1, 1)
    with pytest.raises(EdgeSleepError, match="does not understand") as caught:
        remote.stat("a")
    assert "[hidden]" in str(caught.value)
    assert secret not in "".join(traceback.format_exception(caught.value)) + said.getvalue() + repr(vars(caught.value))
    assert caught.value.__context__ is None and caught.value.__cause__ is None
