"""What a session loads: the current adapter on its base, proven, knowing what it is, and following what becomes current."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from edge_sleep.checkpoint import manifest, store
from edge_sleep.config import Config
from edge_sleep.data.experience import Message
from edge_sleep.data.template import prompt_text
from edge_sleep.device import detect
from edge_sleep.errors import IntegrityError, UsageError
from edge_sleep.model import adapter
from edge_sleep.model import base as base_model
from edge_sleep.serve import runtimes
from edge_sleep.serve.detokenise import TextStream
from edge_sleep.serve.runtime import Finish, Options, Runtime, Worn
from edge_sleep.serve.transcript import Transcript
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home

_TRIES = 5                                # at reading what is replaced while it is read


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

    def __init__(self, home: Home, config: Config, runtime: Runtime, base: base_model.Base, runtime_reason: str = "",
                 max_new_tokens: int | None = None, clock: Clock | None = None):
        self.home, self.config, self.base, self.runtime_reason = home, config, base, runtime_reason
        self.system_prompt = config.companion.system_prompt
        self.max_new_tokens = config.serve.max_new_tokens if max_new_tokens is None else max_new_tokens
        self.problems: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.at_close = ExitStack()
        self._clock = clock or Clock()
        self._runtime: Runtime | None = runtime
        self._seen: Any = None
        self._settled = False
        self._base_as_loaded = self._base_files()

    @property
    def runtime(self) -> Runtime:
        if self._runtime is None:
            raise UsageError("this session is closed: nothing is loaded that could be named")
        return self._runtime

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

    # ---- what is current ---------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Follow what became current since the last look; True where other weights answer from now on.

        Looks at contents, not at times: at current.json itself, and at the loaded adapter's files where they were touched.
        What does not verify is not loaded: `problems` names it, and the last good one answers.
        """
        before = self.runtime.active
        for _ in range(_TRIES):
            seen = self._look()
            if seen == self._seen:
                break
            try:
                self._settle()
            except FileNotFoundError as gone:      # pruned, or promoted past, while it was read
                self.problems = (f"{gone.filename} went away while it was read",)
                continue
            # Only what stood still while it was read has been seen; otherwise look again.
            self._seen = seen if self._look() == seen else None
        return self.runtime.active != before

    def _look(self) -> tuple:
        """What a swap behind our back cannot leave as it was: the pointer's bytes, and when the files we live on changed."""
        try:
            pointer = self.home.current.read_bytes()
        except FileNotFoundError:
            pointer = b""
        active = self.runtime.active
        folder = self.home.adapter(active) if active else None
        names = (manifest.NAME, adapter.WEIGHTS, adapter.CONFIG) if folder else ()
        return pointer, tuple(_touched(folder / name) for name in names if folder), self._base_files()

    def _settle(self) -> None:
        problems, pointer = self._pointer()
        if pointer is _KEEP:
            self.problems = tuple(problems)
            return
        answers = adapter_id = None
        for adapter_id, wrong in store.descent(self.home, pointer) if pointer is not None else ():
            problems += wrong
            if adapter_id == self.runtime.active:
                answers = adapter_id       # its weights were verified when they were loaded, whatever lies on the disk now
                break
            if not wrong:
                try:
                    self.runtime.wear(self._verified(adapter_id))
                    answers = adapter_id
                    break
                except IntegrityError as error:
                    problems.append(error.message)
        if answers is None and self._settled and store.ends_untold(self.home, adapter_id):
            answers = self.runtime.active      # nobody can say which it grew from: what was current before it stays
        elif answers is None:
            self.runtime.wear(None)
        if problems:
            problems.append(_who(answers) + (" goes on answering, as it was verified when it was loaded"
                                             if pointer is not None and pointer["adapter"] and answers == pointer["adapter"]["id"]
                                             else " answers instead, the last good one"))
        if self._base_files() != self._base_as_loaded:
            problems.append(f"the files of the base {self.base.place.source} changed since they were loaded: "
                            "the loaded weights answer, and the next session will refuse these files")
        self.problems, self._settled = tuple(problems), True
        self.notes = tuple(self._differences(pointer))

    def _pointer(self) -> tuple[list[str], Any]:
        """(what is wrong with current.json, what to follow): the pointer, what latest.json remembers, or _KEEP what is loaded."""
        try:
            pointer = store.current(self.home)
        except IntegrityError as error:
            if self._settled:
                return [error.message, f"{_who(self.runtime.active)} goes on answering, as it was loaded before"], _KEEP
            return [f"{error.message} ({error.do})"], store.remembered(self.home)
        if pointer is not None and pointer["base"]["sha256"] != self.base.sha256:
            return [f"current.json names another base ({pointer['base']['source']}, {pointer['base']['sha256'][:12]}) than this "
                    f"home has ({self.base.sha256[:12]})"], None
        return [], pointer

    def _verified(self, adapter_id: str) -> Worn:
        """The adapter's files as they were hashed, and named by what they hold. Raises IntegrityError."""
        document, files = manifest.contents(self.home.adapter(adapter_id))
        is_really = adapter.content_id_of(files, adapter_id, self.base.sha256)
        if is_really != adapter_id:
            raise IntegrityError(f"adapter {adapter_id} holds what would be named {is_really}: "
                                 "it is not what a night made on this base")
        return Worn(adapter_id, document["files"][adapter.WEIGHTS]["sha256"], files)

    def _base_files(self) -> tuple:
        return tuple(map(_touched, (self.base.place.folder / "config.json", *self.base.place.weight_files)))

    def _differences(self, pointer: dict | None) -> Iterator[str]:
        now = self.identity
        for key, stamp, what in (("chat_template_sha256", "template", "chat template"),
                                 ("system_prompt_sha256", "system_prompt", "system prompt")):
            if pointer is not None and pointer.get(key) not in (None, now[stamp]):
                yield f"the {what} is not the one that the current adapter was judged with"

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
        live, self._runtime = self._runtime, None
        if live is not None:
            live.close()
        self.at_close.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_KEEP = object()


def _who(adapter_id: str | None) -> str:
    return f"adapter {adapter_id}" if adapter_id else "the base as it is"


def _touched(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def load_current(home: Home, config: Config, *, max_new_tokens: int | None = None) -> Session:
    """Load what current.json names; where that is not whole, the last good one, by name (`Session.problems`).

    max_new_tokens: longest answer; None takes `serve.max_new_tokens`. Raises UsageError for a home without a base,
    IntegrityError where the base itself is not what it was. Takes no lock: see `edge_sleep.load_current`.
    """
    base = base_of(home, config)
    name, reason = runtimes.choose(config.serve.runtime)
    session = Session(home, config, runtimes.load(name, base, detect.choose()), base, reason, max_new_tokens)
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
