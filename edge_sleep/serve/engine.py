"""Whoever answers all day and lets the night run: one thread that loads, swaps, answers, and gives device and memory back.

One thread, so that nothing changes inside an answer: other weights begin between two requests. The device is taken with the
first request (`state/session.lock`: a running night saves and gives way) and given back, with the model's memory, when
none came for `serve.idle`; so a night finds the whole board, and the next request the new adapter.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

from edge_sleep.config import Config
from edge_sleep.data.experience import Message
from edge_sleep.errors import Busy, DoesNotFit, EdgeSleepError, StorageError, UsageError
from edge_sleep.serve.metrics import Metrics
from edge_sleep.serve.recording import Recorder
from edge_sleep.serve.runtime import Options
from edge_sleep.serve.session import Answer, Session, load_current
from edge_sleep.system import lock, turn
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

WHAT = "a conversation (serve)"
_TICK_SECONDS = 1.0


@dataclass
class Job:
    """One request. `done` has the Answer, or the error; on_text is called from the engine's thread."""

    messages: list[Message]
    options: Options
    adapter: str | None = None             # only these weights may answer
    record: bool = True
    on_text: Callable[[str], None] | None = None
    cancelled: Event = field(default_factory=Event)
    done: Future[tuple[Answer, bool]] = field(default_factory=Future)      # and whether it was recorded
    asked: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class State:
    """What `/health` tells; replaced as a whole, so that any thread may read it."""

    identity: dict[str, Any] | None = None     # None while nothing is loaded
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str | None = None                 # why the last request could not be answered by any weights
    runtime_reason: str = ""


class Others(UsageError):
    """Other weights answer than the ones that were asked for."""


class _Left(Exception):
    """The client went away while its request waited."""


class Engine:
    """See the module. `start`, `submit` jobs, `stop`."""

    def __init__(self, home: Home, config: Config, metrics: Metrics, tell: Callable[[str], None], clock: Clock | None = None,
                 load: Callable[[Home, Config], Session] = load_current):
        self.home, self.config, self.metrics, self.tell = home, config, metrics, tell
        self.state = State()
        self._load = load
        self._clock = clock or Clock()
        self._recorder = Recorder(home.sessions, config.companion.companion_names[0], self._clock)
        self._jobs: Queue[Job | None] = Queue(config.serve.queue)
        self._session: Session | None = None
        self._held: ExitStack | None = None
        self._last = 0.0
        self._unrecorded: str | None = None
        self._stopping = Event()
        self._running: Job | None = None
        self._warm: Future[None] = Future()
        self._thread = Thread(target=self._work, name="edge-sleep-engine", daemon=True)

    def start(self) -> None:
        """Load at once, so that what cannot be served is known now; but let a running night run. Raises as `load_current`."""
        self._thread.start()
        self._warm.result()

    def submit(self, job: Job) -> bool:
        """False where `serve.queue` requests wait already, or the engine stops."""
        if self._stopping.is_set():
            return False
        try:
            self._jobs.put_nowait(job)
        except Full:
            return False
        self.metrics.waiting.set(self._jobs.qsize())
        return True

    def stop(self) -> None:
        """End the answer that is being given, refuse those that wait, give everything back."""
        self._stopping.set()
        if (running := self._running) is not None:
            running.cancelled.set()
        with suppress(Full):
            self._jobs.put_nowait(None)    # it waits no longer
        self._thread.join()

    # ---- the engine's thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._warm_up()
            while not self._stopping.is_set():
                try:
                    job = self._jobs.get(timeout=_TICK_SECONDS)
                except Empty:
                    self._tick()
                    continue
                self.metrics.waiting.set(self._jobs.qsize())
                if job is not None:
                    self._serve(job)
        finally:
            while not self._jobs.empty():
                job = self._jobs.get_nowait()
                if job is not None and job.done.set_running_or_notify_cancel():
                    job.done.set_exception(Busy("the server is stopping", "ask again when it runs"))
            self._give_back()

    def _warm_up(self) -> None:
        try:
            if lock.is_held(self.home.night_lock):
                self.tell("a night is running: the first request will end it and load the model")
            else:
                self._ready(None)
                self._last = self._clock.monotonic()
        except BaseException as error:  # noqa: BLE001 - raised again by start()
            self._stopping.set()
            self._warm.set_exception(error)
        else:
            self._warm.set_result(None)

    def _serve(self, job: Job) -> None:
        if job.cancelled.is_set() or not job.done.set_running_or_notify_cancel():
            return
        self._running = job
        try:
            session = self._ready(job)
            self.metrics.waited_seconds.observe(time.monotonic() - job.asked)
            job.done.set_result(self._answered(session, job))
        except _Left:
            job.done.set_exception(Busy("the client went away", ""))
        except EdgeSleepError as error:
            job.done.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - the request's; the server goes on with a model loaded anew
            self._give_back()
            job.done.set_exception(_explained(error))
        finally:
            self._running = None
            self._last = self._clock.monotonic()

    def _answered(self, session: Session, job: Job) -> tuple[Answer, bool]:
        if job.adapter is not None and job.adapter != session.runtime.active:
            raise Others(f"{job.adapter} does not answer now: {session.runtime.active or 'the base as it is'} does",
                         "ask for `companion`, whichever it is")
        answer = session.generate(job.messages, job.options, job.on_text, job.cancelled)
        for kind, count in (("prompt", answer.prompt_tokens), ("completion", answer.completion_tokens)):
            self.metrics.tokens.labels(kind).inc(count)
        self.metrics.answer_seconds.observe(answer.seconds)
        if answer.first_seconds is not None:
            self.metrics.first_seconds.observe(answer.first_seconds)
        return answer, job.record and answer.finish != "cancelled" and self._record(job, answer)

    def _record(self, job: Job, answer: Answer) -> bool:
        try:
            self._recorder.add(job.messages, answer.text, answer.identity, answer.finish)
        except (StorageError, OSError) as error:
            # The answer was given; that it is not kept is named until one can be again.
            self._unrecorded = f"conversations are not kept: {error}"
            self.tell(self._unrecorded)
            self._publish()
            return False
        if self._unrecorded is not None:
            self._unrecorded = None
            self._publish()
        self.metrics.recorded.inc()
        return True

    def _ready(self, job: Job | None) -> Session:
        """The session, with the device taken and what is current loaded. Raises Busy, or what loading raises."""
        try:
            self._take(job)
            if self._session is None:
                began = time.monotonic()
                self._session = self._load(self.home, self.config)
                self.metrics.load_seconds.observe(time.monotonic() - began)
                self._publish()
            else:
                self._follow(self._session)
            return self._session
        except (_Left, Busy):
            if self._session is None:
                self._give_back()
            raise
        except BaseException as error:
            self._give_back()
            self.state = State(failure=str(_explained(error)))
            raise

    def _take(self, job: Job | None) -> None:
        # Where another conversation has the device (`session begin -- robot`, which asks us) a night gives way to it, as it
        # would to us; we take it ourselves when it is free.
        held, taken = ExitStack(), False
        if self._held is None and not lock.is_held(self.home.session_lock):
            with suppress(Busy):
                held.enter_context(lock.hold(self.home.session_lock, WHAT))
                self._held, taken = held, True
            self.metrics.device_held.set(self._held is not None)

        def pause(seconds: float) -> None:
            if (self._stopping if job is None else job.cancelled).wait(seconds) or self._stopping.is_set():
                raise _Left

        turn.wait_for_night(self.home, self.config.serve.wait, self.tell, pause)
        if taken:
            held.enter_context(turn.focused(self.home, WHAT))

    def _follow(self, session: Session) -> None:
        before = (session.problems, session.notes)
        if session.refresh():
            self.metrics.swaps.inc()
            self.tell(f"{session.identity['adapter'] or 'the base as it is'} answers from here on")
            self._publish()
        elif (session.problems, session.notes) != before:
            self._publish()

    def _tick(self) -> None:
        """Between requests: give back what was not used for long, follow what became current."""
        session = self._session
        if session is None:
            return
        if self._held is None and lock.is_held(self.home.night_lock):
            self._give_back()              # the conversation that we answered under has ended, and a night was first
            return
        if self._clock.monotonic() - self._last >= self.config.serve.idle:
            self.tell("nobody asked for a while: device and memory are given back until somebody does")
            self._give_back()
            return
        try:
            if self._held is None:
                self._take(None)
            self._follow(session)
        except (Busy, _Left):
            self._give_back()
        except BaseException as error:  # noqa: BLE001 - named in /health; the next request loads anew
            self._give_back()
            self.state = State(failure=str(_explained(error)))

    def _publish(self) -> None:
        session = self._session
        if session is None:
            self.state = State(problems=self.state.problems, notes=self.state.notes)
        else:
            lost = (self._unrecorded,) if self._unrecorded else ()
            for problem in set(session.problems) - set(self.state.problems):
                self.tell(problem)
            self.state = State(session.identity, (*session.problems, *lost), session.notes, None, session.runtime_reason)
        self.metrics.answering(self.state.identity, len(self.state.problems))

    def _give_back(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        held, self._held = self._held, None
        if held is not None:
            held.close()
        self.metrics.device_held.set(0)
        self._publish()


def _explained(error: BaseException) -> BaseException:
    from edge_sleep.device.shortage import out_of_memory

    if isinstance(error, EdgeSleepError):
        return error
    if (who := out_of_memory(error)) is not None:
        return DoesNotFit(f"memory ran out while answering ({who})", "ask for fewer tokens, or free memory")
    return error
