"""The machine that does others' training: takes a job by lease, trains it as a night would, answers once, and forgets nothing.

jobs/<id>/ of its own home holds what it does: received/ (what was sent), work/ (a folder like a night's), record, events.
A worker that is killed goes on from the step it had saved, if it is the one that takes the job again.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_sleep.config import Config
from edge_sleep.data.experience import Example
from edge_sleep.device import detect, environment, profile, shortage
from edge_sleep.errors import Busy, DoesNotFit, EdgeSleepError, ModelError, Preempted, RemoteRefused, SyncError, TooHot
from edge_sleep.model import four_bit
from edge_sleep.model.base import Base, BaseSource, fingerprint, resolve
from edge_sleep.seal import envelope
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import TEMPORARY, read_sealed, storage_errors, write_json, write_sealed
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold, holder
from edge_sleep.system.signals import Signals
from edge_sleep.thor import bundle, job, lease, ledger, verify
from edge_sleep.thor.heart import Heart
from edge_sleep.thor.job import Job
from edge_sleep.thor.lease import Act, Watch
from edge_sleep.thor.mailbox import BUNDLE_LIMIT_BYTES, ROOT, Mailbox, Offer
from edge_sleep.train import forecast, planner
from edge_sleep.train import state as training_state
from edge_sleep.train.budget import Contract
from edge_sleep.train.limits import minded
from edge_sleep.train.pace import Pace

RECEIVED, WORK = "received", "work"
TRIES = 4                                          # of one job from one step: what kills a worker kills it again
_PAUSE_SECONDS = 600.0                             # until a job that stopped for heat is taken again
_PIECE_SECONDS = 10.0                              # a signal is heard after so long
_IDLE_SECONDS = (5.0, 60.0)                        # from, to: between two looks at a mailbox that does not answer


@dataclass
class Worker:
    """One worker of one home. tell(text): a line for the log."""

    home: Home
    config: Config
    open_mailbox: Callable[[], Mailbox]
    tell: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)
    signals: Signals = field(default_factory=Signals)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)               # jobs that need no further look
    _not_before: dict[str, float] = field(default_factory=dict)    # monotonic
    _bases: dict[str, BaseSource] | None = None
    _busy: str | None = None
    _tidied: bool = False

    def run(self, once: bool = False, most: int | None = None) -> int:
        """Work until a signal, or with `once` until nothing is left to take; most: jobs to finish. Returns how many it did."""
        mailbox, done, idle = self.open_mailbox(), 0, _IDLE_SECONDS[0]
        while self.signals.received is None and (most is None or done < most):
            try:
                worked, wait = self.look(mailbox)
                idle = _IDLE_SECONDS[0]
            except SyncError as error:
                if once:
                    raise
                self.tell(f"the mailbox does not answer: {error.message}; tried again in {idle:.0f} s")
                worked, wait, idle = None, 0.0, min(2 * idle, _IDLE_SECONDS[1])
                self._sleep(idle)
            done += bool(worked)
            if worked is None and once:
                break
            if worked is None and self.signals.received is None:
                self._wait(mailbox, min(wait or _IDLE_SECONDS[1], _IDLE_SECONDS[1]))
        return done

    def look(self, mailbox: Mailbox) -> tuple[bool | None, float]:
        """Look at every open job and do the first that can be had.

        Returns (True where it was answered, False where it was sent back, None where none was had or it was given back; seconds
        until one may be had, 0 where nothing is known).
        """
        busy = self._device_taken()
        if busy != self._busy and busy is not None:
            self.tell(f"{busy}; no job is taken meanwhile")
        self._busy = busy
        if busy is not None:
            return None, _IDLE_SECONDS[0]
        if not self._tidied:
            self._tidy(mailbox)
        waits = []
        for name in mailbox.jobs(frozenset(self._over)):
            now = self.clock.monotonic()
            if (until := self._not_before.get(name, now)) > now:
                waits.append(until - now)
                continue
            offer = self._offer(mailbox, name)
            if offer is None:
                continue
            step = lease.look(mailbox.seen(offer), self._watches.get(name), now, self.config.thor.lease, mailbox.keys.own.id)
            if step.watch is not None:
                self._watches[name] = step.watch
            if step.act is Act.LEAVE:
                self._over.add(name)
                self._tidied = False
            elif step.act is Act.WAIT:
                waits.append(step.seconds)
            elif mailbox.take(offer, step.number):
                self.tell(f"job {name[:12]} of {offer.home.name}: {step.reason}; taken with lease {step.number}")
                self._tidied = False
                return self._do(mailbox, offer, step.number), 0.0
            else:
                waits.append(_IDLE_SECONDS[0])     # another was first
        return None, min(waits, default=0.0)

    def _tidy(self, mailbox: Mailbox) -> None:
        """Keep no words of jobs that are over, and name what became of those that a kill left unnamed."""
        for record in list(ledger.records(self.home, "worker")):
            folder = ledger.folder(self.home, record["job"])
            left = [folder / name for name in (RECEIVED, WORK) if (folder / name).is_dir()]
            if left and record["state"] in (ledger.WORKING, ledger.GIVEN_BACK):
                closed, by = mailbox.ended(record["job"])
                if closed is None:
                    continue
                state = ledger.DELIVERED if by == mailbox.keys.own.id and record["candidate"] else ledger.LOST
                ledger.write(self.home, record | {"state": state, "reason": closed})
            for one in left:
                shutil.rmtree(one)
        self._tidied = True

    def _device_taken(self) -> str | None:
        for lock in (self.home.session_lock, self.home.night_lock):
            if (other := holder(lock)) is not None:
                return f"{other.get('what', 'another')} has the device"
        return None

    def _offer(self, mailbox: Mailbox, name: str) -> Offer | None:
        """The job, if it is one for this machine; one of an unknown machine, or that says not what it is, is sent back."""
        try:
            offer = mailbox.waiting(name)
        except RemoteRefused as error:
            self._decline(mailbox, name, error.message)
            return None
        if mailbox.keys.own.id not in {one.id for one in offer.workers}:
            self._over.add(name)
            return None
        record = ledger.read(self.home, name)
        if record is not None and record["state"] == ledger.DECLINED:
            self._over.add(name)
            return None
        return offer

    def _do(self, mailbox: Mailbox, offer: Offer, number: int) -> bool | None:
        """Work on a job that is ours. True: answered; False: sent back; None: given back, or lost."""
        folder = ledger.folder(self.home, offer.job)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        events = EventLog(folder / "events.jsonl", self.clock)
        before = ledger.read(self.home, offer.job)
        record = before or ledger.blank("worker", offer.job, ledger.WORKING)
        reached = training_state.latest(folder / WORK / "state")
        step = None if reached is None else reached.name
        tries = record.get("tries", 0) + 1 if record.get("reached") == step else 1
        record |= {"state": ledger.WORKING, "home": offer.home.id, "attempts": number, "tries": tries, "reached": step,
                   "worker": {"id": mailbox.keys.own.id, "name": mailbox.keys.own.name}, "taken": self.clock.stamp()}
        ledger.write(self.home, record)
        events("lease", number=number, tries=record["tries"])
        with Heart(self.open_mailbox(), offer, number, self.config.thor.lease, events) as heart:
            events.listener = heart.listener
            try:
                if record["tries"] > TRIES:
                    raise RemoteRefused(f"this machine died of it {TRIES} times at the same step")
                with hold(self.home.night_lock, f"job {offer.job[:12]}"):
                    asked = self._received(mailbox, offer, folder)
                    record |= self._told(asked)
                    stopped = self._train(asked, folder, record, heart, events)
                if stopped is None:
                    return self._deliver(mailbox, offer, number, asked, folder, record, events)
                self._stop(offer, heart, record, events, stopped)
            except (Busy, SyncError) as error:
                self._stop(offer, heart, record, events, error.message)
            except (RemoteRefused, DoesNotFit, ModelError) as error:
                self._decline(mailbox, offer.job, error.message)
                self._close(record, events, ledger.DECLINED, error.message)
                return False
            except EdgeSleepError as error:
                self._stop(offer, heart, record, events, error.message, a_try=True)
                raise
        return None

    def _received(self, mailbox: Mailbox, offer: Offer, folder: Path) -> Job:
        """What was sent, unsealed and unpacked once. Raises RemoteRefused."""
        received = folder / RECEIVED
        if not received.is_dir():
            sealed, plain = folder / "bundle.sealed", folder / f"{TEMPORARY}bundle.zip"
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
        return job.read((received / bundle.JOB).read_bytes(), Job, f"job {offer.job}")

    def _told(self, asked: Job) -> dict[str, Any]:
        return {"night": asked.night, "base": asked.base.sha256, "parent": asked.parent, "resumed_from": asked.resume_step,
                "data_sha256": asked.files[bundle.EXAMPLES].sha256}

    def _train(self, asked: Job, folder: Path, record: dict, heart: Heart, events: EventLog) -> str | None:
        """Train it as stages/learn.py does; what stopped it by name, None where its candidate is staged."""
        from edge_sleep.train.session import TrainingStop, train_candidate

        found = self._base(asked)
        verify.check_job(asked, folder / RECEIVED, found.folder)
        state, parent = bundle.lay_out(folder / RECEIVED, asked, folder / WORK)
        if (state / "candidate").is_dir() and record["candidate"] is not None:
            return None                            # trained, and killed before it was delivered
        config = self._settings(asked)
        device = replace(detect.tried(asked.base.compute_dtype, heard=four_bit.heard)[0], compute_dtype=asked.base.compute_dtype)
        base = Base(BaseSource(asked.base.source, found.folder), asked.base.sha256, asked.base.compute_dtype, self.home.cache,
                    asked.base.quantisation)
        lesson = training_state.read_examples(state)
        board = profile.detect()[0]
        plan = self._plan(asked, config, base, device, lesson, board, folder / WORK)
        events("plan", **plan.as_json())
        if plan.where == "none":
            raise DoesNotFit(f"too large for this machine: {plan.choices[0]['reason']}")
        if not (state / "training.json").is_file():
            write_sealed(state / "training.json", asdict(plan.fit) if asked.resume_step is None else asked.fit.model_dump())
        contract = Contract(self.clock, self.clock.monotonic(), asked.budget_seconds, 0.0)
        source, held, told = minded(self.config.thermal, self.config.power, board)
        events("telemetry", **told)
        try:
            with Pace(source, held, self.clock, events, folder / "telemetry.jsonl", contract.for_training) as pace:
                result = train_candidate(base, device, config, lesson, parent, state, plan, contract, self.clock, events,
                                         lambda load_seconds: 0.0, lambda: self._give_way(heart), pace=pace)
        except (Preempted, TooHot) as error:
            return error.message
        finally:
            shortage.give_back()
        record |= {"train": result.train, "measured": result.measured, "data": result.data}
        if result.stop is TrainingStop.HEAT:
            self._not_before[asked.id] = self.clock.monotonic() + _PAUSE_SECONDS
        if result.stop is TrainingStop.DEADLINE:
            raise DoesNotFit(f"too slow: {result.reason}")
        if result.stop is not TrainingStop.FINISHED:
            return result.reason
        record["candidate"] = read_sealed(state / "candidate.json", "candidate")["id"]
        ledger.write(self.home, record)
        return None

    def _give_way(self, heart: Heart) -> str | None:
        if self.signals.received is not None:
            return f"signal {self.signals.received}"
        if heart.lost is not None:
            return heart.lost
        other = holder(self.home.session_lock)
        return None if other is None else f"{other.get('what', 'a conversation')} holds the session lock"

    def _base(self, asked: Job) -> BaseSource:
        """This machine's copy of the base, by its sha256. Raises RemoteRefused where it has none."""
        if self._bases is None:
            self._bases = {}
            for model in self.config.thor.bases:
                try:
                    place = resolve(model, self.config.companion.allow_download)
                    self._bases[fingerprint(place)[0]] = place
                except EdgeSleepError as error:
                    self.tell(f"thor.bases: {model} is left out: {error.message}")
        if asked.base.sha256 not in self._bases:
            raise RemoteRefused(f"base not here: {asked.base.source} ({asked.base.sha256[:12]}) is none of the "
                                f"{len(self._bases)} in thor.bases of the worker")
        return self._bases[asked.base.sha256]

    def _settings(self, asked: Job) -> Config:
        """What was asked, on this machine's threads, memory and disk."""
        own, settings = self.config, asked.settings
        train = settings.train.model_copy(update={"threads": own.train.threads, "state_every": own.train.state_every})
        return own.model_copy(update={
            "lora": settings.lora, "train": train, "data": own.data.model_copy(update={"max_tokens": settings.max_tokens}),
            "companion": own.companion.model_copy(update={"system_prompt": settings.system_prompt})})

    def _plan(self, asked: Job, config: Config, base: Base, device: detect.Device, lesson: list[Example], board: profile.Profile,
              work: Path) -> planner.Plan:
        """This machine's plan. The job's folder stands for a home that has this base and no night yet."""
        alone = Home(work)
        write_json(alone.base, {"quantisation": base.quantisation, "sha256": base.sha256})
        return forecast.forecast(alone, config, base.place, device, base.sha256, lesson, board)

    def _deliver(self, mailbox: Mailbox, offer: Offer, number: int, asked: Job, folder: Path, record: dict,
                 events: EventLog) -> bool | None:
        """Seal the result for the edge and publish it, once."""
        files = bundle.files_of_a_candidate(folder / WORK / "state")
        result = job.Result(job=asked.id, worker=mailbox.keys.own.id, base=asked.base.sha256, parent=asked.parent,
                            candidate=record["candidate"], train=job.Trained(**record["train"]), measured=record["measured"],
                            data=job.Data(**record["data"]), files=job.listed(files), versions=environment.versions(),
                            environment={"processor": environment.processor(), "cores": environment.cores()})
        plain, sealed = folder / f"{TEMPORARY}result.zip", folder / "result.sealed"
        try:
            bundle.pack_result(result, files, plain)
            envelope.seal(plain, sealed, mailbox.keys, [offer.home], f"result:{asked.id}")
        finally:
            plain.unlink(missing_ok=True)
        try:
            ours = mailbox.deliver(offer, number, sealed, folder / "result.sending")
        finally:
            sealed.unlink(missing_ok=True)
        self._over.add(asked.id)
        if not ours:
            self._close(record, events, ledger.LOST, "another worker has answered")
            return None
        record["returned"] = self.clock.stamp()
        self._close(record, events, ledger.DELIVERED, f"adapter {record['candidate']}")
        return True

    def _stop(self, offer: Offer, heart: Heart, record: dict, events: EventLog, why: str, a_try: bool = False) -> None:
        """Work that ended without a result: the job is given back, unless it is no longer ours. a_try: it broke here."""
        if heart.lost is not None:
            self._close(record, events, ledger.LOST, heart.lost)
            return
        try:
            heart.give_back()
        except SyncError as error:
            why = f"{why}; giving it back did not get through: {error.message}"
        record["tries"] -= not a_try
        self._not_before.setdefault(offer.job, self.clock.monotonic() + _IDLE_SECONDS[0])
        self._close(record, events, ledger.GIVEN_BACK, why)

    def _decline(self, mailbox: Mailbox, name: str, reason: str) -> None:
        self.tell(f"job {name[:12]} is sent back: {reason}")
        self._over.add(name)
        mailbox.decline(name, reason)

    def _close(self, record: dict, events: EventLog, state: str, reason: str) -> None:
        record |= {"state": state, "reason": reason}
        ledger.write(self.home, record)
        events("job", state=state, reason=reason)
        self.tell(f"job {record['job'][:12]}: {state}; {reason}")

    def _wait(self, mailbox: Mailbox, seconds: float) -> None:
        """Until the mailbox may have changed, in pieces short enough for a signal."""
        until = self.clock.monotonic() + seconds
        while self.signals.received is None and (left := until - self.clock.monotonic()) > 0:
            try:
                if mailbox.remote.wait(f"{ROOT}/", min(left, _PIECE_SECONDS)):
                    return
            except SyncError:
                self._sleep(left)

    def _sleep(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while self.signals.received is None and (left := until - self.clock.monotonic()) > 0:
            self.clock.sleep(min(left, 0.5))
