"""`edge-sleep chat`: talk to the current model; what is said is there for the next night."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep.cli import context, device_turn, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import write_json

if TYPE_CHECKING:
    from edge_sleep.data.experience import Message
    from edge_sleep.serve.session import Session

HELLO = "/quit leaves, /who says which weights answer"


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Talk to the current model. The transcript is kept in the home, stamped with the weights that answered.

    Example: edge-sleep chat
    """
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    config = context.configure(place, common)
    from edge_sleep.serve.session import load_current
    with device_turn.conversation(place, "a conversation (chat)"):
        with output.libraries_to_stderr():
            session = load_current(place, config)
        for problem in session.problems:
            output.say(f"not the current adapter: {problem}")
        try:
            transcript = Transcript(place.sessions, session.identity,
                                    config.companion.companion_names[0], Clock())
            talk(session, transcript, quiet=as_json)
        finally:
            session.close()
    kept = str(transcript.path) if transcript.exchanges else None
    output.answer({"transcript": kept, "exchanges": transcript.exchanges, "edge_sleep": transcript.document["edge_sleep"]},
                  f"kept in {kept}" if kept else "nothing was said", as_json)


class Transcript:
    """A conversation in the shape `ingest` reads, whole on disk after every exchange."""

    def __init__(self, folder: Path, identity: dict, companion: str, clock: Clock):
        self.clock = clock
        started = clock.now()
        self.path = folder / f"chat-{started:%Y%m%d-%H%M%S}.json"
        self.companion = companion
        self.document: dict[str, Any] = {"edge_sleep": identity, "start": started.isoformat(timespec="seconds"),
                                         "end": None, "conversation": []}

    @property
    def exchanges(self) -> int:
        return len(self.document["conversation"]) // 2

    def add(self, prompt: str, response: str) -> None:
        self.document["conversation"] += [{"speaker": "user", "text": prompt},
                                          {"speaker": self.companion, "text": response}]
        self.document["end"] = self.clock.now().isoformat(timespec="seconds")
        write_json(self.path, self.document)


def talk(session: Session, transcript: Transcript, quiet: bool = False) -> None:
    """Prompt, answer, keep; until /quit or the end of the input. quiet: answers go to stderr."""
    from rich.console import Console
    stream = sys.stderr if quiet else sys.stdout
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    interactive = sys.stdin.isatty()
    if interactive:
        console.print(HELLO, style="dim")
    messages: list[Message] = []
    while True:
        if interactive:
            print("> ", end="", file=stream, flush=True)
        line = sys.stdin.readline()
        prompt = line.strip()
        if not line or prompt == "/quit":
            return
        if prompt == "/who":
            console.print(output.columns(sorted(session.identity.items())), style="dim")
            continue
        if not prompt:
            continue
        messages.append({"role": "user", "content": prompt})

        def show(text: str) -> None:
            print(text, end="", file=stream, flush=True)

        with output.libraries_to_stderr():
            answer = session.answer(messages, on_text=show)
        print(file=stream, flush=True)
        messages.append({"role": "assistant", "content": answer})
        transcript.add(prompt, answer)
