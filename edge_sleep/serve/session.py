"""What a session loads: the current adapter on its base, proven, knowing what it is, and following what becomes current."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.config import Config
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text
from edge_sleep.device import detect
from edge_sleep.errors import UsageError
from edge_sleep.model import base as base_model
from edge_sleep.serve import runtimes, speed
from edge_sleep.serve.detokenise import TextStream
from edge_sleep.serve.following import Following
from edge_sleep.serve.runtime import Finish, Options, Runtime
from edge_sleep.serve.transcript import Transcript
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home


@dataclass(frozen=True)
class Answer:
    """What was said, how it ended, and by which weights: `identity` is of the moment in which it was said."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    identity: dict[str, Any]
    first_seconds: float | None            # to the first token
    seconds: float


class Session:
    """A live model; `load_current` makes one. Use it from one thread at a time, and close it, or use it in a `with`.

    problems: why another adapter answers than the current one, by name; empty where the current one does.
    notes: what is not as it was judged, such as another system prompt. runtime_reason: why it runs in this runtime.
    """

    def __init__(self, config: Config, following: Following, max_new_tokens: int | None = None, clock: Clock | None = None):
        self.home, self.base, self.config, self._following = following.home, following.base, config, following
        self.system_prompt = config.companion.system_prompt
        self.max_new_tokens = config.serve.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.notes: tuple[str, ...] = ()
        self.at_close = ExitStack()
        self._clock = clock or Clock()

    @property
    def problems(self) -> tuple[str, ...]:
        return self._following.problems

    @property
    def runtime_reason(self) -> str:
        return self._following.reason

    def refresh(self) -> bool:
        """Follow what became current since the last look (`Following.refresh`); True where other weights answer from now on."""
        changed = self._following.refresh()
        now = self.identity
        self.notes = tuple(self._following.differences(now["template"], now["system_prompt"]))
        return changed

    @property
    def runtime(self) -> Runtime:
        return self._following.runtime

    @property
    def model(self) -> Any:
        """The live model object, in runtimes that have one."""
        return getattr(self.runtime, "model", None)

    @property
    def tokenizer(self) -> Any:
        return self.runtime.tokenizer

    @property
    def identity(self) -> dict[str, Any]:
        """Who answers now, read from the live model: the stamp of a transcript."""
        return self._identity(self.system_prompt)

    def _identity(self, system_prompt: str) -> dict[str, Any]:
        live = self.runtime
        return {"base": self.base.sha256, "adapter": live.active, "template": store.text_sha256(live.tokenizer.chat_template),
                "system_prompt": store.text_sha256(system_prompt), "device": live.device, "runtime": live.name,
                "quantisation": self.base.quantisation, "artefact_sha256": live.artefact_sha256}

    # ---- talking -----------------------------------------------------------------------------------------

    def generate(self, messages: Sequence[Message], options: Options | None = None,
                 on_text: Callable[[str], None] | None = None, cancelled: Event | None = None) -> Answer:
        """The companion's answer to a conversation, which ends with what the person said; on_text receives it as it grows.

        A system message at its head takes the place of the system prompt, in the stamp too. Raises UsageError where the
        conversation is longer than the base can read.
        """
        options = options or Options(self.max_new_tokens)
        live, began = self.runtime, time.monotonic()
        own = messages[0]["content"] if messages and messages[0]["role"] == "system" else self.system_prompt
        identity = self._identity(own)
        ids = live.tokenizer(prompt_text(live.tokenizer, messages, self.system_prompt), add_special_tokens=False)["input_ids"]
        room = (live.context_length or len(ids) + options.max_new_tokens) - len(ids)
        if room < 1:
            raise UsageError(f"the conversation has {len(ids)} tokens, this base reads at most {live.context_length}",
                             "begin a new conversation, or send fewer of its messages")
        options = Options(**(vars(options) | {"max_new_tokens": min(options.max_new_tokens, room)}))
        stream = TextStream(lambda some: live.tokenizer.decode(some, skip_special_tokens=True), options.stop)
        ends, made = live.ends, 0
        finish: Finish = "length"
        first: float | None = None

        def show(text: str) -> None:
            if text and on_text is not None:
                on_text(text)

        def on_token(token: int) -> bool:
            nonlocal made, finish, first
            first = time.monotonic() - began if first is None else first
            made += 1
            if token in ends:
                finish = "stop"
                return True
            show(stream.feed(token))
            if stream.stopped:
                finish = "stop_sequence"
            elif cancelled is not None and cancelled.is_set():
                finish = "cancelled"
            elif options.seconds is not None and time.monotonic() - began > options.seconds:
                finish = "time"
            return finish != "length"

        live.generate(ids, options, on_token)
        show(stream.finish())
        if stream.stopped and finish == "length":
            finish = "stop_sequence"
        return Answer(stream.text, finish, len(ids), made, identity, first, time.monotonic() - began)

    def answer(self, messages: Sequence[Message], on_text: Callable[[str], None] | None = None) -> str:
        """The text of `generate`, with this session's own settings."""
        return self.generate(messages, on_text=on_text).text

    def stream(self, messages: Sequence[Message], options: Options | None = None) -> Iterator[str]:
        """The pieces of `generate` as they come; left early, the answer ends there."""
        pieces: SimpleQueue[Any] = SimpleQueue()
        left = Event()

        def work() -> None:
            try:
                self.generate(messages, options, pieces.put, left)
                pieces.put(None)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
                pieces.put(error)

        thread = Thread(target=work)
        thread.start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            left.set()
            thread.join()

    def transcript(self, kind: str = "chat") -> Transcript:
        """Where a conversation with this session is kept for the next night: `add` each exchange with its answer's identity."""
        return Transcript(self.home.sessions, self.config.companion.companion_names[0], self._clock, kind)

    def close(self) -> None:
        """Give back the memory, and the device where it was taken."""
        self._following.close()
        self.at_close.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_current(home: Home, config: Config, *, max_new_tokens: int | None = None) -> Session:
    """Load what current.json names; where that is not whole, the last good one, by name (`Session.problems`).

    max_new_tokens: longest answer; None takes `serve.max_new_tokens`. Raises UsageError for a home without a base,
    IntegrityError where the base itself is not what it was. Takes no lock: see `edge_sleep.load_current`.
    """
    base = base_of(home, config)
    device = detect.choose()
    following = Following(home, base, config.serve.runtime, speed.where(device),
                          lambda name: runtimes.load(name, home, base, device))
    session = Session(config, following, max_new_tokens)
    session.refresh()
    return session


def base_of(home: Home, config: Config) -> base_model.Base:
    """The home's base, whose weights hash to what the home was bound to; nothing is written for one that is not bound yet."""
    if not home.base.is_file():
        return _undeclared(home, config)
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    return base_model.declare(home, place, detect.choose(config.companion.compute_dtype), Clock().stamp())


def _undeclared(home: Home, config: Config) -> base_model.Base:
    """The base of a home that has not had a night: nothing is written for a first chat."""
    if not home.exists():
        raise UsageError(f"there is no home at {home.root}", "run a night first, or name another --home")
    place = base_model.resolve(config.companion.model, config.companion.allow_download)
    sha256, _ = base_model.fingerprint(place)
    return base_model.Base(place, sha256, detect.choose(config.companion.compute_dtype).compute_dtype)
