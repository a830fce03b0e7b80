"""The mailbox: jobs/<job id>/ on a remote that anybody may have written to. What is not signed by whom it should be is not there.

    bundle-<sha256>.sealed, open.json        by the edge: the sealed job, and for whom it is
    lease-0001.json, beat-0001.json          by a worker: it has the job, it is alive; the highest number counts
    refused-<machine id>.json                by a worker: it cannot do it, and why
    result-<sha256>.sealed, result.json      by a worker, once: nobody can publish a name that is taken
    cancel.json, taken.json                  by the edge: no longer wanted; arrived

Every document is signed for its place and its job. Who can write to the remote can still delete, or keep others from working:
that costs a night elsewhere, and nothing else.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.errors import RemoteRefused, SyncError
from edge_sleep.remote.choose import open_remote
from edge_sleep.remote.protocol import Missing, Remote, Taken
from edge_sleep.seal import envelope
from edge_sleep.seal.keys import Keys, presented
from edge_sleep.seal.machine import Machine, machine
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import sha256_file
from edge_sleep.system.home import Home
from edge_sleep.thor import hint
from edge_sleep.thor.lease import Seen

ROOT = "jobs"
LIMIT_BYTES = 64 * 1024                            # of a document
BUNDLE_LIMIT_BYTES, RESULT_LIMIT_BYTES = 6 << 30, 2 << 30
_JOB = re.compile(r"[0-9a-f]{32}")
_SEALED = re.compile(r"(bundle|result)-[0-9a-f]{64}\.sealed")
_LEASE = re.compile(r"lease-(\d{4})\.json")
_MADE = "1970-01-01T00:00:00+00:00"                # machines are named on a remote by their keys alone


@dataclass(frozen=True)
class Offer:
    """A job that waits: what to fetch, who sent it, and who may do it."""

    job: str
    blob: str                                      # the sealed bundle's name below the job's folder
    size_bytes: int
    home: Machine
    workers: tuple[Machine, ...]
    morning: datetime | None = None                # when the companion's morning begins, if its home says so


@dataclass(frozen=True)
class Answer:
    """A result that has arrived: where it lies, and who says so."""

    job: str
    blob: str
    size_bytes: int
    worker: Machine
    lease: int


@dataclass(frozen=True)
class Progress:
    """What the newest lease says of itself."""

    holder: str
    lease: int
    beat: int = 0
    step: int | None = None
    steps: int | None = None
    given_back: bool = False


class Vouched(Keys):
    """Keys that also know the machines a job names: workers of one edge need not be paired with each other."""

    def __init__(self, keys: Keys, named: Sequence[Machine]):
        super().__init__(keys.folder, keys.clock)
        self._named = {one.id: one for one in named}

    def trusts(self, machine_id: str) -> Machine:
        return self._named[machine_id] if machine_id in self._named else super().trusts(machine_id)


class Mailbox:
    """One machine's view of it. Every method raises what a remote raises; a document that does not hold raises RemoteRefused."""

    def __init__(self, remote: Remote, keys: Keys, clock: Clock):
        self.remote, self.keys, self.clock = remote, keys, clock

    @classmethod
    def open(cls, home: Home, config: Config, clock: Clock) -> Mailbox:
        """The mailbox that is configured, with this home's keys. Raises ConfigError, SyncError where it cannot be used."""
        if not config.thor.mailbox:
            raise SyncError("no mailbox is configured", "`--set thor.mailbox=folder:/PATH`, or in the home's edge-sleep.yaml")
        remote = open_remote(config.thor.mailbox, keys=home.keys, clock=clock, timeout=config.sync.timeout,
                             bandwidth_bytes=config.sync.bandwidth_bytes)
        return cls(remote, Keys.open(home.keys, clock=clock), clock)

    # What the edge does.

    def offer(self, job: str, sealed: Path, workers: Sequence[Machine], note: Path, morning: datetime | None = None) -> None:
        """Make a job visible to `workers`, bundle first. May be repeated. Raises RemoteRefused where another has its name.

        morning: for their eyes alone; who sees the mailbox must not learn when a household gets up.
        """
        blob = f"bundle-{sha256_file(sealed)}.sealed"
        self.remote.put(_name(job, blob), sealed, note)
        named = [presented(one) for one in workers]
        try:
            self._publish(job, "open", {"bundle": blob, "bytes": sealed.stat().st_size, "workers": named,
                                        "hints": [] if morning is None else hint.sealed(morning, workers)})
        except Taken:
            found = self.waiting(job)              # ours, from a run that was cut here
            if found.home.id != self.keys.own.id or found.blob != blob:
                raise RemoteRefused(f"job {job} was put into the mailbox by another", "look who can write to it") from None

    def answer(self, job: str, workers: Sequence[str]) -> Answer | None:
        """The result, if one is there. workers: ids of those it was sent to. Raises RemoteRefused where what is there is none."""
        try:
            document, worker = self._read(job, "result", self.keys)
        except Missing:
            return None
        said, lease = _sealed(document.get("result"), document.get("bytes")), document.get("lease")
        if worker.id not in workers:
            raise RemoteRefused(f"the result of job {job} is signed by machine {worker.id}, which it was not sent to")
        if said is None or not isinstance(lease, int):
            raise RemoteRefused(f"the result of job {job} says not what it is")
        return Answer(job, *said, worker, lease)

    def declined(self, job: str, workers: Sequence[str]) -> dict[str, str]:
        """Why machines sent it back, by their ids."""
        found = {}
        for one in workers:
            try:
                document, signer = self._read(job, f"refused-{one}", self.keys)
            except (Missing, RemoteRefused):
                continue
            if signer.id == one:
                found[one] = str(document.get("reason"))[:400]
        return found

    def cancel(self, job: str, reason: str) -> None:
        self._once(job, "cancel", {"reason": reason})

    def taken(self, job: str) -> None:
        self._once(job, "taken", {})

    # What a worker does.

    def jobs(self, done: frozenset[str] = frozenset()) -> list[str]:
        """Jobs that are open and not known to be `done`, in the order of their names."""
        names = {entry.name for entry in self.remote.list(f"{ROOT}/")}
        found = {parts[1] for name in names if len(parts := name.split("/")) == 3 and parts[2] == "open.json"}
        return sorted(job for job in found - done if _JOB.fullmatch(job) and _name(job, "result.json") not in names)

    def waiting(self, job: str) -> Offer:
        """A job that was offered. Raises RemoteRefused: its sender is not paired with this machine, or it says not what it is."""
        document, home = self._read(job, "open", self.keys)
        said, named = _sealed(document.get("bundle"), document.get("bytes")), document.get("workers")
        if said is None or not isinstance(named, list) or len(named) > 64 \
                or not all(isinstance(one, dict) for one in named):
            raise RemoteRefused(f"job {job} of {home.name} says not what it is")
        workers = tuple(machine({"name": "worker", "made": _MADE, **one}, f"a worker of job {job}") for one in named)
        return Offer(job, *said, home, workers, hint.opened(document.get("hints"), self.keys))

    def seen(self, offer: Offer) -> Seen:
        """Who works on it, and whether anybody still needs to."""
        names = {entry.name.rpartition("/")[2] for entry in self.remote.list(f"{ROOT}/{offer.job}/")}
        if "result.json" in names:
            return Seen("it is answered")
        for name, closed in (("cancel", "it was taken back"), ("taken", "it has arrived")):
            if f"{name}.json" in names and self._by(offer, name, (offer.home,)) is not None:
                return Seen(closed)
        progress = self._newest(offer, names)
        if progress is None:
            return Seen()
        return Seen(None, progress.lease, progress.holder or None, progress.beat, progress.given_back)

    def ended(self, job: str) -> tuple[str | None, str | None]:
        """(Why nobody works on a job any more, the id of the machine that answered it); None for what is not so."""
        try:
            offer = self.waiting(job)
        except Missing:
            return "it is no longer in the mailbox", None
        except RemoteRefused as error:
            return error.message, None
        answer = self._by(offer, "result", offer.workers)
        return self.seen(offer).closed, None if answer is None else answer[1].id

    def progress(self, offer: Offer) -> Progress | None:
        """The newest lease; its holder is empty where nobody whom the job names has signed it."""
        return self._newest(offer, {entry.name.rpartition("/")[2] for entry in self.remote.list(f"{ROOT}/{offer.job}/")})

    def take(self, offer: Offer, number: int) -> bool:
        """Publish a lease; False where another was first."""
        try:
            self._publish(offer.job, _lease(number), {})
        except Taken:
            return False
        return True

    def beat(self, offer: Offer, number: int, count: int, *, step: int | None = None, steps: int | None = None,
             given_back: bool = False) -> None:
        self._publish(offer.job, f"beat-{number:04}", {"beat": count, "step": step, "steps": steps, "given_back": given_back},
                      replace=True)

    def decline(self, job: str, reason: str) -> None:
        self._once(job, f"refused-{self.keys.own.id}", {"reason": reason})

    def deliver(self, offer: Offer, number: int, sealed: Path, note: Path) -> bool:
        """Publish the result; False where another has answered. Repeated by the same worker, it is its own."""
        blob = f"result-{sha256_file(sealed)}.sealed"
        self.remote.put(_name(offer.job, blob), sealed, note)
        try:
            self._publish(offer.job, "result", {"result": blob, "bytes": sealed.stat().st_size, "lease": number})
        except Taken:
            found = self._by(offer, "result", offer.workers)
            return found is not None and found[1].id == self.keys.own.id and found[0].get("result") == blob
        return True

    def fetch(self, job: str, blob: str, size_bytes: int, limit_bytes: int, target: Path) -> None:
        """A sealed file, of the size that was signed. Raises RemoteRefused where it has another or is too large."""
        if size_bytes > limit_bytes:
            raise RemoteRefused(f"{blob} of job {job} has {size_bytes} bytes, at most {limit_bytes} are fetched")
        there = self.remote.stat(_name(job, blob))
        if there is not None and there.size_bytes != size_bytes:
            raise RemoteRefused(f"{blob} of job {job} has {there.size_bytes} bytes, {size_bytes} were signed")
        self.remote.get(_name(job, blob), target)

    # How documents are kept.

    def _newest(self, offer: Offer, names: set[str]) -> Progress | None:
        number = max((int(found[1]) for name in names if (found := _LEASE.fullmatch(name))), default=0)
        if not number:
            return None
        lease = self._by(offer, _lease(number), offer.workers)
        if lease is None:
            return Progress("", number)
        holder = lease[1]
        beat = self._by(offer, f"beat-{number:04}", (holder,))
        told = {} if beat is None else beat[0]
        count, step, steps = (value if isinstance(value := told.get(key), int) else None for key in ("beat", "step", "steps"))
        return Progress(holder.id, number, count or 0, step, steps, told.get("given_back") is True)

    def _by(self, offer: Offer, kind: str, signers: Sequence[Machine]) -> tuple[dict, Machine] | None:
        """The document and its signer, if one of these signed it."""
        try:
            document, signer = self._read(offer.job, kind, Vouched(self.keys, signers))
        except (Missing, RemoteRefused):
            return None
        return (document, signer) if signer.id in {one.id for one in signers} else None

    def _read(self, job: str, kind: str, keys: Keys) -> tuple[dict, Machine]:
        content = self.remote.read(_name(job, f"{kind}.json"), LIMIT_BYTES)
        document, signer = envelope.opened(content, keys, f"{kind}:{job}")
        if document.get("job") != job:
            raise RemoteRefused(f"{kind}.json of job {job} speaks of another job")
        return document, signer

    def _publish(self, job: str, kind: str, document: dict[str, Any], replace: bool = False) -> None:
        content = envelope.sign({"job": job, "at": self.clock.stamp(), **document}, self.keys, f"{kind}:{job}")
        self.remote.publish(_name(job, f"{kind}.json"), content, replace=replace)

    def _once(self, job: str, kind: str, document: dict[str, Any]) -> None:
        try:
            self._publish(job, kind, document)
        except Taken:
            return                                 # said already


def _name(job: str, part: str) -> str:
    if not _JOB.fullmatch(job):
        raise RemoteRefused(f"{job[:40]!r} is not a job")
    return f"{ROOT}/{job}/{part}"


def _lease(number: int) -> str:
    return f"lease-{number:04}"


def _sealed(blob: Any, size: Any) -> tuple[str, int] | None:
    """The name and the size of a sealed file, if a document says them."""
    sound = isinstance(blob, str) and _SEALED.fullmatch(blob) is not None and isinstance(size, int) and size > 0
    return (blob, size) if sound else None
