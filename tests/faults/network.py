"""The network is gone: a mount that is not there or vanishes at a call, Dropbox that nobody reaches, that cuts or that falls silent."""
from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from edge_sleep.remote import token
from edge_sleep.seal.keys import Keys
from edge_sleep.sync import outbox
from edge_sleep.system.clock import Clock
from tests.faults import invariants, shim
from tests.faults.ground import End, Ground, Trial
from tests.faults.table import Table

_ROOT = Path(__file__).parents[2]
_MOST_CALLS = 40                           # changes of a folder that a push makes, about
GONE = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT)


@dataclass
class Dropbox:
    process: subprocess.Popen
    environment: dict[str, str]
    login: token.Token
    left: Path

    def cut_after(self, requests: int | None) -> None:
        self.left.unlink(missing_ok=True)
        if requests is not None:
            self.left.write_text(str(requests))


@contextmanager
def dropbox(folder: Path) -> Iterator[Dropbox]:
    left = folder / "requests-left"
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.serve_dropbox", str(left)], cwd=_ROOT, stdout=subprocess.PIPE, text=True,
                               env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"})
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield Dropbox(process, told["environment"], token.Token(told["app_key"], told["refresh_token"]), left)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def prepared(ground: Ground) -> Trial:
    """A home with something to send, and another machine that it is for."""
    trial = ground.trial("two")
    keys, other = Keys.open(trial.home.keys, "orin"), Keys.open(trial.root / "other", "thor")
    keys.add(other.own)
    outbox.queue_current(trial.home, Clock())
    return trial


def push(trial: Trial, remote: str, prepare: Callable[[], object] = lambda: None) -> End:
    def hurried() -> None:
        Clock.sleep = lambda self, seconds: time.sleep(min(seconds, 0.02))  # type: ignore[method-assign]
        prepare()
    return trial.run("sync", "push", "--set", f"sync.remote={remote}", "--set", "sync.timeout=2s", prepare=hurried)


def settle(trial: Trial, remote: str, first: End, prepare: Callable[[], object] = lambda: None) -> list[str]:
    """The network is back: what waited is sent, once, and nothing waits any more. Whatever failed had the code of a failed sync."""
    losses = invariants.named(first, "`sync push`")
    if first.code not in (0, 40):
        losses.append(f"`sync push` ended as {first.name}: {first.said[-1500:]}")
    losses += invariants.kept(trial)
    if first.code != 0 and not outbox.waiting(trial.home):
        losses.append("it failed, and nothing waits in the outbox")
    again = push(trial, remote, prepare)
    if again.code != 0 or outbox.waiting(trial.home):
        losses.append(f"with the network back `sync push` ended as {again.name}, {len(outbox.waiting(trial.home))} parcels wait: {again.said[-1500:]}")
    twice = push(trial, remote, prepare)
    if twice.document.get("sent"):
        losses.append("it was sent twice")
    return losses


def by_folder(ground: Ground, chance: random.Random, table: Table, done: int) -> None:
    trial = prepared(ground)
    remote = trial.root / "mount"
    if chance.random() < 0.3 or shim.library() is None:
        what, first = "a mount that is not there", push(trial, f"folder:{remote}")
        remote.mkdir()
    else:
        remote.mkdir()
        at, error = chance.randint(1, _MOST_CALLS), chance.choice(GONE)
        what = "a mount that vanishes"
        first = push(trial, f"folder:{remote}", lambda: shim.arm(remote, at, shim.FROM, error, trial.root / "calls"))
        what += "" if first.code else " (too late)"
    record(table, trial, what, first, settle(trial, f"folder:{remote}", first), f"network round {done}")


def by_dropbox(ground: Ground, chance: random.Random, table: Table, done: int, server: Dropbox) -> None:
    trial = prepared(ground)
    token.save(trial.home.keys, server.login)
    remote = f"dropbox:/companion-{done}"

    def reach() -> None:
        os.environ.update(server.environment)

    def refused() -> None:
        os.environ.update(server.environment | {name: "localhost:9" for name in server.environment if name.startswith("DROPBOX")})

    how = chance.choice(("refuses", "cuts", "cuts", "falls silent"))
    if how == "refuses":
        first = push(trial, remote, refused)
    elif how == "cuts":
        server.cut_after(chance.randint(0, 12))
        first = push(trial, remote, reach)
        server.cut_after(None)
    else:
        server.process.send_signal(signal.SIGSTOP)
        first = push(trial, remote, reach)
        server.process.send_signal(signal.SIGCONT)
    record(table, trial, f"Dropbox {how}", first, settle(trial, remote, first, reach), f"network round {done}")


def by_night(ground: Ground, table: Table, done: int) -> None:
    """A whole night whose remote is not there is a night like any other; what it made waits."""
    trial = ground.trial("one")
    Keys.open(trial.home.keys, "orin").add(Keys.open(trial.root / "other", "thor").own)
    remote = trial.root / "mount"
    first = trial.run(*trial.night, "--set", f"sync.remote=folder:{remote}", "--set", "sync.timeout=2s")
    losses = invariants.kept(trial) + invariants.answers(trial) + ([] if first.code == 0 else [f"the night ended as {first.name}: {first.said[-1500:]}"])
    losses += [] if outbox.waiting(trial.home) else ["what the night made does not wait in the outbox"]
    remote.mkdir()
    sent = push(trial, f"folder:{remote}")
    losses += [] if sent.code == 0 and not outbox.waiting(trial.home) else [f"with the network back `sync push` ended as {sent.name}"]
    record(table, trial, "a night without its remote", first, losses, f"network round {done}")


def record(table: Table, trial: Trial, what: str, first: End, losses: list[str], how: str) -> None:
    table.add("network gone", what, first.name, "" if losses else "all sent, once", losses, how)
    if not losses:
        trial.drop()


def rounds(ground: Ground, chance: random.Random, number: int, table: Table) -> Iterator[str]:
    """`number` failures of a network, each mended."""
    if missing := [name for name in ("nacl", "dropbox", "trustme") if util.find_spec(name) is None]:
        yield f"left out: {', '.join(missing)} not installed"
        return
    with dropbox(ground.root) as server:
        for done in range(1, number + 1):
            if done % 8 == 3:
                by_night(ground, table, done)
            elif done % 2:
                by_folder(ground, chance, table, done)
            else:
                by_dropbox(ground, chance, table, done, server)
            yield f"{done} of {number}"
