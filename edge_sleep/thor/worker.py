"""The machine that does others' training: takes jobs by lease, in fair order, has its engine train them as nights would, answers
each once, and forgets nothing.

A worker that is killed goes on from the step it had saved, if it is the one that takes the job again.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from edge_sleep.config import Config
from edge_sleep.errors import Busy, DoesNotFit, EdgeSleepError, ModelError, RemoteRefused, SyncError
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.system.signals import Signals
from edge_sleep.thor import lease, ledger, queue
from edge_sleep.thor.choose import open_engine
from edge_sleep.thor.engine import End, Engine
from edge_sleep.thor.held import TRIES as TRIES
from edge_sleep.thor.held import Held
from edge_sleep.thor.lease import Act, Watch
from edge_sleep.thor.mailbox import ROOT, Mailbox, Offer
from edge_sleep.thor.training import RECEIVED, WORK

_PIECE_SECONDS = 10.0                              # a signal is heard after so long
_IDLE_SECONDS = (5.0, 60.0)                        # from, to: between two looks at a mailbox that does not answer
_HEAR_SECONDS = 0.2                                # between two looks at what an engine is at
_LOOK_SECONDS = 5.0                                # between two looks at the mailbox, where jobs are at work and none ended


@dataclass
class Looked:
    """What one look did. answered: jobs that were; ended: those, and what was sent or given back; begun: taken; wait_seconds:
    until a job may be had, 0 where nothing is known."""

    answered: int = 0
    ended: int = 0
    begun: int = 0
    wait_seconds: float = 0.0


@dataclass
class Worker:
    """One worker of one home. tell(text): a line for the log. engine: None takes the configured one."""

    home: Home
    config: Config
    open_mailbox: Callable[[], Mailbox]
    tell: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)
    signals: Signals = field(default_factory=Signals)
    engine: Engine | None = None
    show: Callable[[Worker], None] = lambda worker: None       # after each look
    closed: Callable[[dict[str, Any]], None] = lambda record: None     # the record of a job that it no longer holds
    waiting: list[queue.Turn] = field(default_factory=list)    # at the last look, the next first
    _watches: dict[str, Watch] = field(default_factory=dict)
    _offers: dict[str, Offer] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)               # jobs that need no further look
    _not_before: dict[str, float] = field(default_factory=dict)    # monotonic
    _begun: dict[str, tuple[str, datetime]] | None = None      # by job: whose it is, and when it was given the machine
    _next_look: float = 0.0                                    # monotonic
    _busy: str | None = None
    _tidied: bool = False

    def run(self, once: bool = False, most: int | None = None) -> int:
        """Work until a signal, or with `once` until nothing is left to take; most: jobs to finish. Returns how many it did."""
        mailbox, done, idle = self.open_mailbox(), 0, _IDLE_SECONDS[0]
        engine = self._engine()
        try:
            while self.signals.received is None and (most is None or done < most):
                try:
                    looked = self.look(mailbox, None if most is None else most - done)
                    idle = _IDLE_SECONDS[0]
                except SyncError as error:
                    if once:
                        raise
                    self.tell(f"the mailbox does not answer: {error.message}; tried again in {idle:.0f} s")
                    self._sleep(idle)
                    looked, idle = Looked(), min(2 * idle, _IDLE_SECONDS[1])
                done += looked.answered
                self.show(self)
                if engine.holds():
                    self.clock.sleep(_HEAR_SECONDS)
                elif once and not looked.ended and not looked.begun:
                    break
                elif not looked.ended and self.signals.received is None:
                    self._wait(mailbox, min(looked.wait_seconds or _IDLE_SECONDS[1], _IDLE_SECONDS[1]))
        finally:
            self._let_go(engine)
        return done

    def look(self, mailbox: Mailbox, most: int | None = None) -> Looked:
        """Hear what ended, and take what there is room for, the next of the queue first. most: jobs to hold at once."""
        engine, looked, now = self._engine(), Looked(), self.clock.monotonic()
        self._hear(engine, looked)
        if engine.holds() and (not engine.room() or (now < self._next_look and not looked.ended)):
            return looked
        self._next_look = now + _LOOK_SECONDS
        busy = engine.busy()
        if busy != self._busy and busy is not None:
            self.tell(f"{busy}; no job is taken meanwhile")
        self._busy = busy
        if busy is not None:
            looked.wait_seconds = _IDLE_SECONDS[0]
            return looked
        if not self._tidied:
            self._tidy(mailbox)
        waits: list[float] = []
        self.waiting = self._queue(mailbox, {one.offer.job for one in engine.holds()})
        for turn in list(self.waiting):
            if not engine.room() or (most is not None and len(engine.holds()) >= most):
                break
            if (until := self._not_before.get(turn.job, now)) > now:
                waits.append(until - now)
                continue
            offer = self._offers[turn.job]
            step = lease.look(mailbox.seen(offer), self._watches.get(turn.job), now, self.config.thor.lease, mailbox.keys.own.id)
            if step.watch is not None:
                self._watches[turn.job] = step.watch
            if step.act is Act.LEAVE:
                self._over.add(turn.job)
                self._tidied = False
            elif step.act is Act.WAIT:
                waits.append(step.seconds)
            elif mailbox.take(offer, step.number):
                self.tell(f"job {turn.job[:12]} of {offer.home.name}: {step.reason}; taken with lease {step.number} "
                          f"({turn.reason})")
                self._tidied = False
                looked.begun += 1
                self.waiting.remove(turn)
                self._begin(engine, mailbox, offer, step.number, looked)
            else:
                waits.append(_IDLE_SECONDS[0])     # another was first
        looked.wait_seconds = min(waits, default=0.0)
        self._hear(engine, looked)
        return looked

    def _engine(self) -> Engine:
        if self.engine is None:
            self.engine = open_engine(self.home, self.config, self.clock, self.signals, self.tell)
        return self.engine

    def _queue(self, mailbox: Mailbox, held: set[str]) -> list[queue.Turn]:
        """What waits, in the order of `queue`, from what this home remembers to have begun."""
        waiting = []
        for name in mailbox.jobs(frozenset(self._over)):
            if name not in held and (offer := self._offer(mailbox, name)) is not None:
                waiting.append(queue.Waiting(name, offer.home.id, offer.morning))
        now = self.clock.now()
        if self._begun is None:
            self._begun = {one.job: (one.home, now - timedelta(seconds=one.seconds_ago))
                           for one in queue.begun(ledger.records(self.home, "worker"), now)}
        begun = [queue.Begun(job, home, (now - at).total_seconds()) for job, (home, at) in self._begun.items()]
        return queue.order(waiting, begun, now)

    def _tidy(self, mailbox: Mailbox) -> None:
        """Keep no words of jobs that are over, and name what became of those that a kill left unnamed."""
        held = {one.offer.job for one in self._engine().holds()}
        for record in list(ledger.records(self.home, "worker")):
            folder = ledger.folder(self.home, record["job"])
            left = [folder / name for name in (RECEIVED, WORK) if (folder / name).is_dir()]
            if not left or record["job"] in held:
                continue
            if record["state"] in (ledger.WORKING, ledger.GIVEN_BACK):
                closed, by = mailbox.ended(record["job"])
                if closed is None:
                    continue
                state = ledger.DELIVERED if by == mailbox.keys.own.id and record["candidate"] else ledger.LOST
                ledger.write(self.home, record | {"state": state, "reason": closed})
            for one in left:
                shutil.rmtree(one)
        self._tidied = True

    def _offer(self, mailbox: Mailbox, name: str) -> Offer | None:
        """The job, if it is one for this machine; one of an unknown machine, or that says not what it is, is sent back."""
        if name in self._offers:
            return self._offers[name]
        try:
            offer = mailbox.waiting(name)
        except RemoteRefused as error:
            self.tell(f"job {name[:12]} is sent back: {error.message}")
            self._over.add(name)
            mailbox.decline(name, error.message)
            return None
        record = ledger.read(self.home, name)
        if mailbox.keys.own.id not in {one.id for one in offer.workers} \
                or (record is not None and record["state"] == ledger.DECLINED):
            self._over.add(name)
            return None
        self._offers[name] = offer
        return offer

    def _begin(self, engine: Engine, mailbox: Mailbox, offer: Offer, number: int, looked: Looked) -> None:
        """Have a job trained that is ours."""
        held = Held(self.home, self.config, mailbox, self.open_mailbox(), offer, number, self.clock, self.tell)
        held.__enter__()
        if self._begun is not None:
            self._begun[offer.job] = (offer.home.id, self.clock.now())
        try:
            held.receive()
            if held.trained:                       # and killed before it was delivered
                self._deliver(held, looked)
            else:
                engine.begin(held)
        except EdgeSleepError as error:
            self._end(engine, held, error, looked)
        except BaseException:
            self._let(held)
            raise

    def _hear(self, engine: Engine, looked: Looked) -> None:
        for held, end in engine.ended():
            self._end(engine, held, end, looked)

    def _end(self, engine: Engine, held: Held, end: End, looked: Looked) -> None:
        """What becomes of a job whose training ended, or could not begin. Raises what is this machine's fault."""
        looked.ended += 1
        if isinstance(end, EdgeSleepError):
            raises = self._broke(held, end)
            self._let(held)
            if raises and engine.alone:
                raise end
            return
        held.note(end)
        if end.stopped is None:
            self._deliver(held, looked)
            return
        if end.pause_seconds:
            self._not_before[held.offer.job] = self.clock.monotonic() + end.pause_seconds
        self._give_back(held, end.stopped)
        self._let(held)

    def _broke(self, held: Held, error: EdgeSleepError) -> bool:
        """Whether the error is this machine's own."""
        if isinstance(error, (Busy, SyncError)):
            self._give_back(held, error.message)
        elif isinstance(error, (RemoteRefused, DoesNotFit, ModelError)):
            self._over.add(held.offer.job)
            (self._begun or {}).pop(held.offer.job, None)
            held.decline(error.message)
        else:
            self._give_back(held, error.message, a_try=True)
            return True
        return False

    def _deliver(self, held: Held, looked: Looked) -> None:
        try:
            looked.answered += held.deliver()
            self._over.add(held.offer.job)
        except SyncError as error:
            self._give_back(held, error.message)
        finally:
            self._let(held)

    def _give_back(self, held: Held, why: str, a_try: bool = False) -> None:
        if held.heart.lost is None:
            job, until = held.offer.job, self.clock.monotonic() + _IDLE_SECONDS[0]
            self._not_before[job] = max(until, self._not_before.get(job, until))
        held.give_back(why, a_try)

    def _let_go(self, engine: Engine) -> None:
        """The end of this worker: what it still holds is given back."""
        holds = engine.holds()
        engine.stop()
        why = "the worker ended" if self.signals.received is None else f"signal {self.signals.received}"
        for held in holds:
            self._give_back(held, why)
            self._let(held)

    def _let(self, held: Held) -> None:
        """Of a job that is over here, one way or another."""
        held.__exit__(None, None, None)
        self.closed(held.record)

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
