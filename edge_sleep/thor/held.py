"""One job whose lease a worker has: from the record that says so to the answer, whoever trains it meanwhile.

jobs/<id>/ of the worker's home holds received/ (what was sent), work/ (a folder like a night's), the record and the events.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from edge_sleep.config import Config
from edge_sleep.device import environment
from edge_sleep.errors import RemoteRefused, SyncError
from edge_sleep.seal import envelope
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import TEMPORARY, storage_errors
from edge_sleep.system.home import Home
from edge_sleep.thor import bundle, job, ledger
from edge_sleep.thor.heart import Heart
from edge_sleep.thor.job import Job
from edge_sleep.thor.mailbox import BUNDLE_LIMIT_BYTES, Mailbox, Offer
from edge_sleep.thor.training import RECEIVED, WORK, Ended
from edge_sleep.train import state as training_state

TRIES = 4                                          # of one job from one step: what kills a worker kills it again


class Held:
    """Context manager around the work on one job: while it is open, the lease beats."""

    def __init__(self, home: Home, config: Config, mailbox: Mailbox, heart: Mailbox, offer: Offer, number: int, clock: Clock,
                 tell: Callable[[str], None]):
        """heart: a mailbox of its own, for the thread that beats. number: of the lease. tell(text): a line for the log."""
        self.home, self.config, self.mailbox, self.offer, self.number = home, config, mailbox, offer, number
        self.clock, self.tell = clock, tell
        self.folder = ledger.folder(home, offer.job)
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.events = EventLog(self.folder / "events.jsonl", clock)
        self.heart = Heart(heart, offer, number, config.thor.lease, self.events)
        self.events.listener = self.heart.listener
        self.asked: Job | None = None
        own = mailbox.keys.own
        self.record = (ledger.read(home, offer.job) or ledger.blank("worker", offer.job, ledger.WORKING)) | {
            "state": ledger.WORKING, "home": offer.home.id, "attempts": number, "taken": clock.stamp(), "ended": None,
            "worker": {"id": own.id, "name": own.name}}
        self._began = clock.monotonic()
        self.again()
        self.events("lease", number=number, tries=self.record["tries"])

    def __enter__(self) -> Held:
        self.heart.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.heart.__exit__(kind, error, trace)

    @property
    def job(self) -> Job:
        if self.asked is None:
            raise RemoteRefused(f"job {self.offer.job} was not unpacked")
        return self.asked

    @property
    def state(self) -> Path:
        """Of the training: examples, the step that was reached, the candidate."""
        return self.folder / WORK / "state"

    @property
    def trained(self) -> bool:
        """Whether its candidate is staged: trained, and not delivered yet."""
        return (self.state / "candidate").is_dir() and self.record["candidate"] is not None

    def again(self) -> int:
        """It is begun once more; returns how often from this step, this time included."""
        reached = training_state.latest(self.state)
        step = None if reached is None else reached.name
        tries = self.record.get("tries", 0) + 1 if self.record.get("reached") == step else 1
        self.record |= {"tries": tries, "reached": step}
        ledger.write(self.home, self.record)
        return tries

    def receive(self) -> Job:
        """What was sent, unsealed and unpacked once. Raises RemoteRefused."""
        if self.record["tries"] > TRIES:
            raise RemoteRefused(f"this machine died of it {TRIES} times at the same step")
        received, offer, mailbox = self.folder / RECEIVED, self.offer, self.mailbox
        if not received.is_dir():
            sealed, plain = self.folder / "bundle.sealed", self.folder / f"{TEMPORARY}bundle.zip"
            mailbox.fetch(offer.job, offer.blob, offer.size_bytes, BUNDLE_LIMIT_BYTES, sealed)
            try:
                signer = envelope.unseal(sealed, plain, mailbox.keys, f"job:{offer.job}", BUNDLE_LIMIT_BYTES)
                asked = bundle.unpack(plain, received)
            finally:
                plain.unlink(missing_ok=True)
                sealed.unlink(missing_ok=True)
            if (asked.id, asked.home) != (offer.job, signer.id) or signer.id != offer.home.id:
                shutil.rmtree(received)
                raise RemoteRefused(f"the bundle of job {offer.job} holds job {asked.id} of machine {asked.home}")
        asked = job.read((received / bundle.JOB).read_bytes(), Job, f"job {offer.job}")
        self.asked = asked
        self.record |= {"night": asked.night, "base": asked.base.sha256, "parent": asked.parent,
                        "resumed_from": asked.resume_step, "data_sha256": asked.files[bundle.EXAMPLES].sha256}
        return asked

    def note(self, ended: Ended) -> None:
        """What came of the training, before anybody is told."""
        self.record |= {key: value for key, value in ended.facts().items() if value}
        ledger.write(self.home, self.record)

    def deliver(self) -> bool:
        """Seal the result for the edge and publish it, once; False where another has answered."""
        asked, record, mailbox = self.job, self.record, self.mailbox
        files = bundle.files_of_a_candidate(self.state)
        result = job.Result(job=asked.id, worker=mailbox.keys.own.id, base=asked.base.sha256, parent=asked.parent,
                            candidate=record["candidate"], train=job.Trained(**record["train"]), measured=record["measured"],
                            data=job.Data(**record["data"]), files=job.listed(files), versions=environment.versions(),
                            environment={"processor": environment.processor(), "cores": environment.cores()})
        plain, sealed = self.folder / f"{TEMPORARY}result.zip", self.folder / "result.sealed"
        try:
            bundle.pack_result(result, files, plain)
            envelope.seal(plain, sealed, mailbox.keys, [self.offer.home], f"result:{asked.id}")
        finally:
            plain.unlink(missing_ok=True)
        try:
            ours = mailbox.deliver(self.offer, self.number, sealed, self.folder / "result.sending")
        finally:
            sealed.unlink(missing_ok=True)
        if not ours:
            self._close(ledger.LOST, "another worker has answered")
            return False
        record["returned"] = self.clock.stamp()
        self._close(ledger.DELIVERED, f"adapter {record['candidate']}")
        return True

    def decline(self, reason: str) -> None:
        """Send it back to the edge: this worker does not do it."""
        self.tell(f"job {self.offer.job[:12]} is sent back: {reason}")
        self.mailbox.decline(self.offer.job, reason)
        self._close(ledger.DECLINED, reason)

    def give_back(self, why: str, a_try: bool = False) -> None:
        """Work that ended without a result: the job is given back, unless it is no longer ours. a_try: it broke here."""
        if self.heart.lost is not None:
            self._close(ledger.LOST, self.heart.lost)
            return
        try:
            self.heart.give_back()
        except SyncError as error:
            why = f"{why}; giving it back did not get through: {error.message}"
        self.record["tries"] -= not a_try
        self._close(ledger.GIVEN_BACK, why)

    def _close(self, state: str, reason: str) -> None:
        worked = (self.record.get("worked_seconds") or 0.0) + self.clock.monotonic() - self._began
        self.record |= {"state": state, "reason": reason, "ended": self.clock.stamp(), "worked_seconds": round(worked, 1)}
        ledger.write(self.home, self.record)
        self.events("job", state=state, reason=reason)
        self.tell(f"job {self.offer.job[:12]}: {state}; {reason}")
