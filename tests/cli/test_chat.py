"""`chat`: what is said is kept under its stamp, a correction is learned instead, other weights begin a new file."""
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edge_sleep.cli import chat
from edge_sleep.data.buffer import Buffer
from edge_sleep.serve.runtime import Worn
from edge_sleep.system.home import Home

ANSWER = "I heard Who waters the ferns in the old house by the sea?"
PROMPT = ANSWER.removeprefix("I heard ")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def chatting(cli, parrot, home: Home, monkeypatch: pytest.MonkeyPatch):
    from edge_sleep.cli import context
    monkeypatch.setattr(context, "own_name", lambda _: None)

    def run(*lines: str, as_json: bool = True):
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
        return cli("chat", "--home", home.root, *(["--json"] if as_json else []))

    return run


def test_a_correction_is_learned_and_the_answer_is_not(chatting, home: Home) -> None:
    ran = chatting(PROMPT, "/correct Grandfather waters them on Sundays.", "Thank you.")
    assert ran.code == 0 and ran.document["exchanges"] == 2 and len(ran.document["taught"]) == 1
    with Buffer(home.experiences) as buffer:
        items = {item.response: (item.status, item.reason, item.prompt) for item in buffer.items()}
        assert items["Grandfather waters them on Sundays."] == ("kept", None, PROMPT)
        assert items[ANSWER] == ("quarantined", "corrected", PROMPT)
        [stamped] = [session for session in buffer.sessions() if session["stamp"]]
        assert stamped["stamp"] == ran.document["edge_sleep"]
        from edge_sleep.config import Config
        from edge_sleep.data.ingest import ingest
        config = Config()
        found = ingest([home.sessions], buffer, companion=config.companion, quality=config.quality, salience=config.salience)
        assert found["duplicates"] == 1 and found["new"] == 1, "the night reads the whole conversation, and nothing twice"
        assert buffer.get(ran.document["taught"][0]).status == "kept"


@pytest.mark.parametrize("lines, told", [
    (["/correct It is Lena."], "nothing was answered yet"), ([PROMPT, "/correct"], "write what the last answer should have been"),
    ([PROMPT, "/new", "/correct It is Lena."], "nothing was answered yet"), (["/corect x"], "/corect is no command"),
    ([PROMPT, f"/correct {ANSWER}"], "is this very answer"), (["/help"], "/quit"), (["/who"], "which is what was judged")])
def test_commands_that_teach_nothing(chatting, lines: list[str], told: str) -> None:
    ran = chatting(*lines)
    assert ran.code == 0 and told in ran.err and ran.document["taught"] == []
    assert ran.document["exchanges"] == lines.count(PROMPT)


def test_new_begins_a_file_of_its_own(chatting, home: Home) -> None:
    ran = chatting("one", "/new", "/new", "two", "/quit", "three", as_json=False)
    assert ran.out.count("I heard") == 2 and ran.out.splitlines()[-1].startswith("kept in ")
    files = sorted(home.sessions.iterdir())
    assert [[turn["text"] for turn in json.loads(file.read_text())["conversation"]] for file in files] == [
        ["one", "I heard one"], ["two", "I heard two"]]


def test_other_weights_go_on_in_a_new_file(chatting, parrot, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_sleep.serve.session import Session

    def refresh(session: Session) -> bool:
        seen.append(1)
        if len(seen) == 3:                                       # at loading, before the first line, before the second
            parrot.wear(Worn("another", "a" * 64, {}))
        return follow(session) if len(seen) == 1 else len(seen) == 3

    seen: list[int] = []
    follow = Session.refresh
    monkeypatch.setattr(Session, "refresh", refresh)
    ran = chatting("one", "two")
    first, second = (json.loads(Path(path).read_text()) for path in ran.document["transcripts"])
    assert "from here on another answers" in ran.err
    assert (first["edge_sleep"]["adapter"], second["edge_sleep"]["adapter"]) == (None, "another")
    assert [(turn["text"], turn.get("context", False)) for turn in second["conversation"]] == [
        ("one", True), ("I heard one", True), ("two", False), ("I heard two", False)]


def test_an_interrupted_answer_is_left_out(parrot, home: Home, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal Ctrl-C ends the answer, not the conversation."""
    import signal

    from edge_sleep.config import Config
    from edge_sleep.serve.session import load_current
    lines = iter(["long", "after"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines, None) or (_ for _ in ()).throw(EOFError))
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    parrot.before = lambda asked: signal.raise_signal(signal.SIGINT) if asked == "long" else None
    before = signal.getsignal(signal.SIGINT)
    with load_current(home.make(), Config()) as session:
        talk = chat.Talk(session, lambda *_: "id")
        talk.run()
    assert [transcript.exchanges for transcript in talk.transcripts] == [1] and "left out of the transcript" in capsys.readouterr().out
    assert talk.messages[0]["content"] == "after" and signal.getsignal(signal.SIGINT) is before
