"""`edge-sleep chat`: talk to the current model; what is said is there for the next night."""
from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError
from edge_sleep.system import turn
from edge_sleep.system.printable import on_terminal

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.data.experience import Message
    from edge_sleep.serve.session import Session
    from edge_sleep.serve.transcript import Transcript
    from edge_sleep.system.home import Home

HELP = """/correct TEXT  the last answer was wrong: this is what the next night learns instead
/new           begin a new conversation
/who           which weights answer
/quit          leave; so does the end of the input. Ctrl-C ends an answer"""
_PROMPT = "\001\033[1m\002> \001\033[0m\002"   # bold; the marks tell readline what takes no room


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Talk to the current model. The transcript is kept in the home, stamped with the weights that answered.

    `/correct TEXT` teaches what the last answer should have been; `/help` lists the rest.

    Example: edge-sleep chat
    """
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    config = context.configure(place, common)
    from edge_sleep.serve.session import load_current
    with turn.conversation(place, "a conversation (chat)", tell=output.say):
        with output.libraries_to_stderr():
            session = load_current(place, config)
        with session:
            talk = Talk(session, lambda *what: _correct(place, config, *what), quiet=as_json)
            talk.run()
            stamp = session.identity
    kept = [str(path) for transcript in talk.transcripts for path in transcript.paths]
    document = {"transcript": kept[-1] if kept else None, "transcripts": kept, "taught": talk.taught,
                "exchanges": sum(transcript.exchanges for transcript in talk.transcripts), "edge_sleep": stamp}
    output.answer(document, f"kept in {', '.join(kept)}" if kept else "nothing was said", as_json)


def _correct(place: Home, config: Config, transcript: Path, prompt: str, response: str, right: str) -> str:
    from edge_sleep.data.buffer import Buffer
    from edge_sleep.data.correct import correct
    from edge_sleep.system.clock import Clock
    with Buffer(place.experiences) as buffer:
        return correct(buffer, config, transcript, prompt, response, right, at=Clock().stamp(), own=context.own_name(config)).id


@contextmanager
def _ended_by_interrupt(enough: Event) -> Iterator[None]:
    """Ctrl-C ends the answer and not the conversation; a second one ends that too."""
    def end(number: int, _: object) -> None:
        if enough.is_set():
            raise KeyboardInterrupt
        enough.set()

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Talk:
    """Prompt, answer, keep; until /quit or the end of the input. quiet: answers go to stderr, for `--json`."""

    def __init__(self, session: Session, correct: Callable[[Path, str, str, str], str], quiet: bool = False):
        from rich.console import Console
        self.session, self.correct = session, correct
        self.stream = sys.stderr if quiet else sys.stdout
        self.console = Console(file=self.stream, highlight=False, markup=False, soft_wrap=True)
        self.interactive = sys.stdin.isatty()
        self.transcripts: list[Transcript] = []
        self.taught: list[str] = []
        self.messages: list[Message] = []
        self._last: tuple[Path, str, str] | None = None   # (file, prompt, response) of what can be corrected
        self._problems: tuple[str, ...] = ()
        self.commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self._note(HELP), "/who": self._who, "/new": self._new, "/correct": self._teach}
        self._new("")

    def run(self) -> None:
        self._say_problems()
        if self.interactive:
            self._note(f"{self.session.identity['adapter'] or 'the base as it is'} answers; /help lists the commands")
        while (line := self._read()) is not None and line != "/quit":
            name, _, rest = line.partition(" ")
            if name in self.commands:
                self.commands[name](rest.strip())
            elif name.startswith("/"):
                self._note(f"{name} is no command\n{HELP}")
            elif line:
                self._answer(line)

    def _read(self) -> str | None:
        """The next line, None at the end of the input."""
        if self.interactive and self.stream is sys.stdout:
            import readline  # noqa: F401 - the line can be edited, and earlier ones called back
            try:
                return input(_PROMPT).strip()
            except EOFError:
                return None
        line = sys.stdin.readline()
        return line.strip() if line else None

    def _answer(self, prompt: str) -> None:
        if self.session.refresh():
            self._note(f"from here on {self.session.identity['adapter'] or 'the base as it is'} answers")
        self._say_problems()
        asked: list[Message] = [*self.messages, {"role": "user", "content": prompt}]
        enough = Event()
        with output.libraries_to_stderr(), _ended_by_interrupt(enough) if self.interactive else nullcontext():
            answer = self.session.generate(asked, on_text=self._show, cancelled=enough)
        print(file=self.stream, flush=True)
        if answer.finish == "cancelled":
            self._note("left out of the transcript")
            return
        self.messages = [*asked, {"role": "assistant", "content": answer.text}]
        self._last = (self.transcripts[-1].add(prompt, answer.text, answer.identity, answer.finish), prompt, answer.text)

    def _teach(self, right: str) -> None:
        if self._last is None or not right:
            self._note("write what the last answer should have been: /correct Her name is Lena."
                       if self._last else "nothing was answered yet that could be corrected")
            return
        try:
            self.taught.append(self.correct(*self._last, right))
        except UsageError as error:
            self._note(error.message)
        else:
            self._note(f"the next night learns it ({self.taught[-1]})")

    def _who(self, _: str) -> None:
        self._note(output.columns([*sorted(self.session.identity.items()), ("this runtime", self.session.runtime_reason)]))

    def _new(self, _: str) -> None:
        self.messages, self._last = [], None
        if not self.transcripts or self.transcripts[-1].exchanges:
            self.transcripts.append(self.session.transcript())

    def _show(self, text: str) -> None:
        print(on_terminal(text), end="", file=self.stream, flush=True)

    def _note(self, text: str) -> None:
        self.console.print(on_terminal(text), style="dim")

    def _say_problems(self) -> None:
        if self.session.problems != self._problems:
            self._problems = self.session.problems
            for problem in self._problems:
                output.say(f"not the current adapter: {problem}")
