"""What a worker does before it trains anything: which jobs it takes, which it sends back by name, and when it waits."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.errors import SyncError
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold
from edge_sleep.thor import ledger
from edge_sleep.thor.mailbox import Mailbox
from edge_sleep.thor.worker import TRIES, Worker

JOB = "0123456789abcdef" * 2


class Machines:
    def __init__(self, root: Path):
        self.root, self.clock, self.said = root, ManualClock(), []
        (root / "mailbox").mkdir()
        self.keys = {name: Keys.open(root / name / "keys", name) for name in ("edge", "thor", "stranger")}
        self.keys["edge"].add(self.keys["thor"].own)
        self.keys["thor"].add(self.keys["edge"].own)
        self.home = Home(root / "thor").make()
        self.settings = config.load(None, ["thor.lease=10s", "thor.bases=[seedling]"])
        self.worker = Worker(self.home, self.settings, lambda: self.box("thor"), self.said.append, self.clock)

    def box(self, name: str) -> Mailbox:
        return Mailbox(FolderRemote(self.root / "mailbox", clock=self.clock), self.keys[name], self.clock)

    def offer(self, by: str = "edge", content: bytes = b"no archive", purpose: str = f"job:{JOB}") -> None:
        plain, sealed = self.root / "plain", self.root / "sealed"
        plain.write_bytes(content)
        envelope.seal(plain, sealed, self.keys[by], [self.keys["thor"].own], purpose)
        self.box(by).offer(JOB, sealed, [self.keys["thor"].own], self.root / "note")

    def names(self) -> set[str]:
        return {file.name for file in (self.root / "mailbox" / "jobs" / JOB).iterdir()}

    def declined(self) -> str:
        return self.box("edge").declined(JOB, [self.keys["thor"].own.id]).get(self.keys["thor"].own.id, "")


@pytest.fixture
def there(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_an_empty_mailbox_is_nothing_to_do(there: Machines) -> None:
    assert there.worker.run(once=True) == 0 and there.said == []


def test_a_mailbox_that_is_not_there_is_said_with_once_and_waited_for_without(there: Machines) -> None:
    (there.root / "mailbox").rmdir()
    with pytest.raises(SyncError, match="is not there"):
        there.worker.run(once=True)
    seconds = there.clock.monotonic()

    def stop(text: str) -> None:
        there.said.append(text)
        if len(there.said) == 5:
            there.worker.signals.received = 15

    there.worker.tell = stop
    assert there.worker.run() == 0
    waits = [float(text.rpartition("again in ")[2].removesuffix(" s")) for text in there.said]
    assert waits == [5, 10, 20, 40, 60] and there.clock.monotonic() - seconds >= sum(waits[:-1])


def test_an_unknown_machine_s_job_is_sent_back_by_name_and_not_looked_at_again(there: Machines) -> None:
    there.offer("stranger")
    assert there.worker.run(once=True) == 0
    assert "unknown signer" in there.said[0] and "unknown signer" in there.declined()
    assert not any(name.startswith("lease") for name in there.names())
    there.worker.run(once=True)
    assert len(there.said) == 1


@pytest.mark.parametrize("content, purpose, why", [
    (b"no archive", f"job:{JOB}", "archive|zip"), (b"PK\x05\x06" + bytes(18), f"job:{JOB}", "job.json"),
    (b"anything", f"job:{'f' * 32}", "another purpose")])
def test_a_bundle_that_is_none_is_sent_back_by_name(there: Machines, content: bytes, purpose: str, why: str) -> None:
    import re

    there.offer(content=content, purpose=purpose)
    assert there.worker.run(once=True) == 0
    record = ledger.read(there.home, JOB)
    assert record is not None and record["state"] == ledger.DECLINED
    assert re.search(why, record["reason"]) and there.declined() == record["reason"][:400]
    there.worker.run(once=True)                                         # what it keeps of it are no words
    left = {file.name for file in (there.home.jobs / JOB).iterdir()}
    assert left == {"record.json", "events.jsonl"} and "result.json" not in there.names()
    again = Worker(there.home, there.settings, lambda: there.box("thor"), there.said.append, there.clock)
    assert again.run(once=True) == 0 and "lease-0002.json" not in there.names()      # its next life knows


def test_what_killed_it_too_often_at_one_step_is_sent_back(there: Machines) -> None:
    there.offer()
    ledger.write(there.home, ledger.blank("worker", JOB, ledger.WORKING) | {"tries": TRIES, "reached": None})
    there.worker.run(once=True)
    assert f"died of it {TRIES} times" in there.declined()


def test_a_job_of_another_worker_is_waited_for_by_one_s_own_clock(there: Machines) -> None:
    there.offer()
    offer = there.box("thor").waiting(JOB)
    other = Keys.open(there.root / "other", "other")
    there.keys["edge"].add(other.own)
    other.add(there.keys["edge"].own)
    there.worker.look(there.box("thor"))                                # nobody has it: it is taken, and sent back as no archive
    assert "lease-0001.json" in there.names()
    assert offer.workers[0].id == there.keys["thor"].own.id


def test_a_night_or_a_conversation_on_this_machine_comes_first(there: Machines) -> None:
    there.offer()
    with hold(there.home.session_lock, "a conversation"):
        assert there.worker.run(once=True) == 0
    assert "a conversation has the device" in there.said[0] and not any(name.startswith("lease") for name in there.names())
    with hold(there.home.night_lock, "a night"):
        assert there.worker.run(once=True) == 0
    there.worker.run(once=True)
    assert "lease-0001.json" in there.names()


def test_a_job_that_is_for_others_is_left(there: Machines) -> None:
    there.keys["edge"].add(Keys.open(there.root / "other", "other").own)
    plain, sealed = there.root / "plain", there.root / "sealed"
    plain.write_bytes(b"x")
    others = [one for one in there.keys["edge"].peers if one.id != there.keys["thor"].own.id]
    envelope.seal(plain, sealed, there.keys["edge"], others, f"job:{JOB}")
    there.box("edge").offer(JOB, sealed, others, there.root / "note")
    assert there.worker.run(once=True) == 0 and there.said == []
    assert there.names() == {"open.json", next(name for name in there.names() if name.startswith("bundle-"))}
