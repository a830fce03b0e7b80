"""The watcher: looks at clock and machine, runs each date's night as a process of its own, and says what went wrong.

The book is written before a night is begun and after it ended. A watcher that dies leaves a night that goes on; the next one
finds it by its lock, waits, and reads its record.
"""
from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.device import loans
from edge_sleep.errors import Busy, EdgeSleepError, Exit, IntegrityError, Outcome, StorageError
from edge_sleep.schedule import alarms, metabolic, rhythm
from edge_sleep.schedule import book as nights
from edge_sleep.schedule.alarms import Teller, Voice
from edge_sleep.schedule.bell import Bell
from edge_sleep.schedule.book import Book, Entry, Moment
from edge_sleep.schedule.circadian import night_at
from edge_sleep.schedule.courier import Courier
from edge_sleep.schedule.inbox import Reader
from edge_sleep.schedule.machine import observed
from edge_sleep.schedule.metabolic import Seen
from edge_sleep.schedule.rhythm import Look, Machine, Settings
from edge_sleep.system import lock, notify
from edge_sleep.system import record as records
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

LOOK_SECONDS = 30.0
_SAVE_SECONDS = 600.0                              # between writes of a book in which only time has passed
_PUT_BACK_SECONDS = 600.0                          # between tries to bring back what a killed night stopped
_STOP_SECONDS = 120.0                              # a night that is ended may take so long to save
_OF_SERVICE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")      # the watcher's own business with its manager
_KILL_FIRST = "500"                                # oom_score_adj: the kernel takes the night before the watcher

_OUTCOME = {int(outcome.exit_code): outcome.value for outcome in Outcome}


@dataclass
class Begun:
    """The night that is running."""

    child: subprocess.Popen
    date: date
    before: Entry | None               # of that date, before it was begun


class Watcher:
    """One home's watcher. `tick` looks once; nothing is kept in memory that the home does not hold."""

    def __init__(self, home: Home, configured: Callable[[], Config], command: Callable[[float], Sequence[str]],
                 say: Callable[[str], None], clock: Clock | None = None, environment: Mapping[str, str] | None = None,
                 machine: Callable[[Home, Config, bool], Machine] = observed,
                 reading: Callable[[Sequence[Path]], Sequence[str]] | None = None,
                 syncing: Callable[[str], Sequence[str]] | None = None):
        """configured: reads the configuration. command: that of a night, given its seconds. say: a line for the log.
        environment: of the night; this process's own where it is left out. reading: the command that reads the transcripts of
        some places; None reads none but with the night. syncing: that of `sync push` or `pull`; None does neither."""
        self.home, self.say = home, say
        self._configured, self._command, self._machine = configured, command, machine
        self.clock = clock or Clock()
        self._environment = {name: value for name, value in (os.environ if environment is None else environment).items()
                             if name not in _OF_SERVICE}
        self._reader = None if reading is None else Reader(home, reading, say, self._environment)
        self._courier = None if syncing is None else Courier(home, syncing, say, self._environment, self.clock)
        self.config = configured()
        self.settings = Settings.of(self.config)
        self.book, wrong = nights.read(home.rhythm)
        if wrong:
            say(wrong)
        self.look: Look | None = None              # the last one
        self.begun: Begun | None = None
        self.left: int | None = None               # nights this watcher may still begin; None: any number
        self.last_exit: int | None = None
        at = self.book.at
        self._saved = self.book
        self._saved_at = at.since_boot if at is not None and at.boot == self.clock.boot() else -math.inf
        self._newest: tuple[tuple[Path, int], dict] | None = None
        self._put_back_at = -math.inf              # since boot; when it may be tried again
        self._teller = Teller(home.root, say)
        self._said = ""

    def reload(self) -> None:
        """Read the configuration anew; one that is wrong changes nothing."""
        notify.reloading()
        try:
            config = self._configured()
            self.settings, self.config = Settings.of(config), config
            self.say("configuration read anew")
        except EdgeSleepError as error:
            self.say(f"the configuration stays as it was: {error.message}")
        notify.notify(READY=1)

    def tick(self) -> Look:
        """Look once, and act on it: end what has ended, tell what is due, begin what may begin.

        Raises StorageError, IntegrityError and sqlite3's errors: the home is full or damaged.
        """
        machine = self._machine(self.home, self.config, self._wanted())
        self._end(machine)
        self._put_back(machine)
        machine = self._read(machine)
        if self._courier is not None:
            self._courier.look(self.config)
        look = self._look(machine)
        self.look, self.book = look, look.book
        metabolic.watch_over(self.home, Seen(look.phase, machine.session is not None, machine.running is not None), self.clock)
        if look.doubt is None:
            self.book = self._teller.look(self.book, Voice.of(self.config.schedule), self.clock.since_boot())
        if look.decision and self.left != 0:
            self._begin(look)
        self._save()
        self._explain(look)
        return look

    def _wanted(self) -> bool:
        """Whether a night could begin as far as clock and book say: only then is the store counted."""
        now = datetime.fromtimestamp(Moment.of(self.clock).wall, timezone.utc)
        tonight = night_at(self.settings.windows, self.settings.zone, now)
        return self.begun is None and tonight is not None \
            and self.book.standing(tonight.date, self.settings.attempts, self.settings.pause).over is None

    @property
    def busy(self) -> bool:
        """Whether a process of its own is at work."""
        return self.begun is not None or any(one is not None and one.busy for one in (self._reader, self._courier))

    def _put_back(self, machine: Machine) -> None:
        """Bring back what a night that was killed has stopped or set; no night begins meanwhile."""
        now = self.clock.since_boot()
        if self.begun is not None or machine.running is not None or now < self._put_back_at or not loans.any_left(self.home):
            return
        try:
            with lock.hold(self.home.night_lock, "what a killed night left is put back"):
                told = loans.put_back(self.home)
        except Busy:
            return
        self._put_back_at = now + _PUT_BACK_SECONDS
        for event, facts in told:
            text = f"left by a killed night: {event} {facts.get('setting', '')} {facts['state']}: {facts['reason']}"
            if facts["state"] not in ("not restored", "damaged"):
                self.say(text)
                continue
            self.say(f"warning: {text}")
            alarm = alarms.Alarm(alarms.NOT_PUT_BACK, self.clock.now().date().isoformat(), text)
            self.book, _, problems = alarms.once_a_day(self.book, alarm, Voice.of(self.config.schedule), self.home.root)
            for why in problems:
                self.say(f"warning: {why}")

    def _read(self, machine: Machine) -> Machine:
        """Let transcripts be read that wait; no night begins meanwhile."""
        if self._reader is None:
            return machine
        free = self.begun is None and machine.running is None and machine.session is None
        before = self._reader.busy
        mark = self._reader.look(self.book.inbox, self.config, Moment.of(self.clock).wall, self.clock.since_boot(), free)
        self.book = replace(self.book, inbox=mark)
        if self._reader.busy:
            return replace(machine, running=machine.running or "transcripts are being read")
        return self._machine(self.home, self.config, self._wanted()) if before else machine       # there is more to learn now

    def _look(self, machine: Machine) -> Look:
        if self.begun is not None:                 # it may not have its lock yet
            machine = replace(machine, running=machine.running or f"the night of {self.begun.date} is running")
        moment = Moment.of(self.clock)
        look = rhythm.consider(self.book, moment, self.settings, machine)
        if machine.running is None and look.doubt is None and (record := self._newest_record()) is not None:
            noted = look.book.note(record, self.settings.windows, self.settings.zone)
            if noted is not look.book:
                look = rhythm.consider(noted, moment, self.settings, machine)
        return look

    def _newest_record(self) -> dict | None:
        """The record of the newest night that has one."""
        if not self.home.nights.is_dir():
            return None
        newest = max((folder for folder in self.home.nights.iterdir() if (folder / "record.json").is_file()), default=None)
        if newest is None:
            return None
        mark = newest, (newest / "record.json").stat().st_mtime_ns
        if self._newest is None or self._newest[0] != mark:
            self._newest = mark, records.read(newest / "record.json")
        return self._newest[1]

    def _begin(self, look: Look) -> None:
        assert look.tonight is not None
        seconds = min(self.config.budget.time, look.left)
        before = look.book.of(look.tonight.date)
        self.book = rhythm.begun(look)
        try:
            self._save(at_once=True)               # before it begins: a kill in between costs an attempt, never a second night
        except StorageError:
            self.book = look.book
            raise
        self.say(f"the night of {look.tonight.date} begins, {seconds / 60:.0f} min at most: {look.decision}")
        try:
            child = subprocess.Popen(self._command(seconds), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     env=self._environment, start_new_session=True)
        except OSError as error:
            why = f"it does not start: {error.strerror}"
            self.book = self.book.end(Outcome.FAILED.value, int(Exit.BUG), why)
            return
        _kill_first(child.pid)
        self.left = None if self.left is None else self.left - 1
        self.begun = Begun(child, look.tonight.date, before if before is not None and before.attempts else None)

    def _end(self, machine: Machine) -> None:
        if self.begun is None or (code := self.begun.child.poll()) is None:
            return
        begun, self.begun = self.begun, None
        self._put_back_at = -math.inf
        code = code if code >= 0 else 128 - code
        self.last_exit = code
        moment = Moment.of(self.clock)
        doubted = nights.doubt(moment, machine.synchronised, self.settings.settle) is not None
        self.book = self.book.look(moment, self.settings.windows, self.settings.zone, doubted)
        if code == Exit.BUSY:
            self.book = self.book.take_back(begun.before)
            self.say("the night did not begin: another holds the device")
            return
        record = self._newest_record()
        fresh = record is not None and all(entry.stamp != record["ended"] for entry in self.book.entries)
        if record is not None and fresh and record["exit_code"] == code:
            outcome, reason = record["outcome"], record["reason"]
        else:
            record, outcome = None, _OUTCOME.get(code, Outcome.FAILED.value)
            reason = f"killed by signal {code - 128}" if code > 128 else f"it ended with exit code {code} and left no record"
        self.book = self.book.end(outcome, code, reason, record)
        self._save(at_once=True)
        self.say(f"the night of {begun.date} ended: {outcome}; {reason}")

    def _save(self, at_once: bool = False) -> None:
        passed = self.clock.since_boot() - self._saved_at
        if at_once or passed >= _SAVE_SECONDS or _substance(self.book) != _substance(self._saved):
            nights.write(self.home.rhythm, self.book)
            self._saved, self._saved_at = self.book, self.clock.since_boot()

    def _explain(self, look: Look) -> None:
        if self.begun is not None:
            told = f"the night of {self.begun.date} is running"
        else:
            names = ", ".join(reason.name for reason in look.decision.against)
            coming = look.next_begin(self.settings)
            told = f"no night now ({names if look.phase.dark else look.phase.value}); " if names else ""
            told += "the clock is doubted" if coming is None else \
                f"the next may begin {coming.astimezone(self.settings.zone).isoformat(timespec='minutes')}"
        notify.notify(STATUS=told, WATCHDOG=1)
        if told != self._said:
            self.say(told)
            self._said = told

    def trouble(self, error: Exception) -> None:
        """A look that could not be taken."""
        told = f"warning: {getattr(error, 'message', error)}"
        notify.notify(STATUS=told, WATCHDOG=1)
        if told != self._said:
            self.say(told)
            self._said = told
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)    # that is: busy
        if damaged or isinstance(error, IntegrityError):
            with suppress(StorageError):
                metabolic.publish(self.home, metabolic.Event.TROUBLE, told, "the watcher", self.clock, "integrity")

    def stop(self, wait: Callable[[float], object] = time.sleep) -> None:
        """End a running night as a conversation would: it saves its state first. Then the book is closed."""
        if self.begun is not None:
            self.say("the watcher ends; the night saves its state")
            self.begun.child.send_signal(signal.SIGTERM)
            until = self.clock.monotonic() + _STOP_SECONDS
            while self.begun.child.poll() is None and self.clock.monotonic() < until:
                notify.notify(WATCHDOG=1)
                wait(0.1)
            if self.begun.child.poll() is None:
                self.begun.child.kill()
                self.begun.child.wait()
        if self._reader is not None:
            self._reader.stop()
        if self._courier is not None:
            self._courier.stop()
        machine = self._machine(self.home, self.config, False)
        self._end(machine)
        self._put_back(machine)
        self._save(at_once=True)
        seen = Seen(self._look(machine).phase, machine.session is not None, machine.running is not None)
        metabolic.watch_over(self.home, seen, self.clock)


def _substance(book: Book) -> tuple:
    """What of a book must not be lost with the next power cut; time may be, for a while."""
    entries = tuple((entry.date, entry.attempts, entry.outcome, entry.over, entry.stamp) for entry in book.entries)
    return entries, book.refusal, dict(book.told), book.opened, book.inbox


def _kill_first(pid: int) -> None:
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(_KILL_FIRST)
    except OSError:
        return                                     # no such file here, or the night has ended already


def watch(watcher: Watcher, once: bool = False) -> int:
    """Run a watcher until SIGTERM or SIGINT, or with `once` until it has looked and what it began has ended; the exit code.

    A home that is full or damaged is said and waited for: this is a service.
    """
    seconds = min(LOOK_SECONDS, (notify.watchdog_seconds() or LOOK_SECONDS * 2) / 2)
    watcher.left = 1 if once else None
    with Bell() as bell:
        notify.notify(READY=1, STATUS="looking")
        heard: set[int] = set()
        while not heard & {signal.SIGTERM, signal.SIGINT}:
            if signal.SIGHUP in heard:
                watcher.reload()
            try:
                watcher.tick()
            except (EdgeSleepError, OSError, sqlite3.Error) as error:
                if once and not watcher.busy:
                    raise
                watcher.trouble(error)
            if once and not watcher.busy:
                return Exit.NOTHING_TO_DO if watcher.last_exit is None else watcher.last_exit
            heard = bell.wait(seconds)
        notify.notify(STOPPING=1)
        watcher.stop(bell.wait)
    return 128 + max(heard & {signal.SIGTERM, signal.SIGINT}) if once else Exit.OK
