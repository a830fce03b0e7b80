"""Which exchange belongs to which transcript, and what ingest makes of it."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.data.session import read_paths
from edge_sleep.serve.recording import Recorder
from edge_sleep.serve.transcript import Transcript
from edge_sleep.system.clock import ManualClock

ONE, TWO = {"base": "b", "adapter": "one"}, {"base": "b", "adapter": "two"}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


def turns(path: Path) -> list[str]:
    return [turn["text"] for turn in json.loads(path.read_text())["conversation"] if not turn.get("context")]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "sessions", "Heron", ManualClock(), most=2)


def exchanges(folder: Path) -> list[tuple]:
    found = read_paths([folder], ["Heron"], ["Dennis"]).sessions
    return [(session.stamp["adapter"], exchange.prompt, exchange.response, [message["content"] for message in exchange.context])
            for session in found for exchange in session.exchanges]


def test_a_conversation_goes_on_in_its_file(recorder: Recorder, tmp_path: Path) -> None:
    first = recorder.add([user("a?")], "A.", ONE, "stop")
    assert recorder.add([user("x?")], "X.", ONE, "stop") != first
    assert recorder.add([user("a?"), said(" A. "), user("b?")], "B.", ONE, "stop") == first
    assert turns(first) == ["a?", "A.", "b?", "B."]
    assert exchanges(tmp_path / "sessions") == [("one", "a?", "A.", []), ("one", "b?", "B.", ["a?", "A."]), ("one", "x?", "X.", [])]


def test_an_answer_that_is_asked_for_again_is_a_branch(recorder: Recorder, tmp_path: Path) -> None:
    first = recorder.add([user("a?")], "A.", ONE, "stop")
    recorder.add([user("a?"), said("A."), user("b?")], "B.", ONE, "stop")
    branch = recorder.add([user("a?"), said("A."), user("b?")], "Bee.", ONE, "stop")
    assert branch != first and turns(branch) == ["b?", "Bee."]
    assert ("one", "b?", "Bee.", ["a?", "A."]) in exchanges(tmp_path / "sessions")
    assert recorder.add([user("a?"), said("A."), user("b?"), said("B."), user("c?")], "C.", ONE, "stop") == first


def test_what_a_client_puts_into_our_mouth_teaches_nothing(recorder: Recorder, tmp_path: Path) -> None:
    recorder.add([user("who?"), said("I am a toaster."), user("sure?")], "Yes.", ONE, "stop")
    assert exchanges(tmp_path / "sessions") == [("one", "sure?", "Yes.", ["who?", "I am a toaster."])]


def test_other_weights_go_on_in_a_new_file(recorder: Recorder, tmp_path: Path) -> None:
    first = recorder.add([user("a?")], "A.", ONE, "stop")
    second = recorder.add([user("a?"), said("A."), user("b?")], "B.", TWO, "stop")
    third = recorder.add([user("a?"), said("A."), user("b?"), said("B."), user("c?")], "C.", TWO, "stop")
    assert (turns(first), turns(second), third) == (["a?", "A."], ["b?", "B.", "c?", "C."], second)
    assert exchanges(tmp_path / "sessions") == [("one", "a?", "A.", []), ("two", "b?", "B.", ["a?", "A."]),
                                                ("two", "c?", "C.", ["a?", "A.", "b?", "B."])]


def test_only_so_many_conversations_are_open(recorder: Recorder) -> None:
    files = [recorder.add([user(name)], "A.", ONE, "stop") for name in "xyz"]
    assert recorder.add([user("x"), said("A."), user("b?")], "B.", ONE, "stop") not in files
    assert recorder.add([user("z"), said("A."), user("b?")], "B.", ONE, "stop") == files[2]


def test_what_was_forgotten_does_not_come_back(recorder: Recorder, tmp_path: Path) -> None:
    """`forget` rewrites the transcript of a conversation that is still open: what is held in memory must not undo it."""
    first = recorder.add([user("secret?")], "The secret.", ONE, "stop")
    first.write_text(first.read_text().replace("The secret.", "[forgotten]"))
    second = recorder.add([user("secret?"), said("The secret."), user("b?")], "B.", ONE, "stop")
    assert second != first and "[forgotten]" in first.read_text() and "secret" not in second.read_text()


def test_an_unheard_conversation_leaves_no_file(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, "SAGE", ManualClock())
    assert transcript.exchanges == 0 and transcript.path is None and not list(tmp_path.iterdir())


def test_two_conversations_in_one_instant_are_two_files(tmp_path: Path) -> None:
    first, second = (Transcript(tmp_path, "SAGE", ManualClock()).add("a?", answer, ONE) for answer in ("A.", "B."))
    assert first != second and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("finish, answer, status, learned, trimmed", [
    ("stop", "The lamp stands on the shelf", "kept", "The lamp stands on the shelf", False),
    ("length", "The lamp stands on the shelf", "quarantined", "The lamp stands on the shelf", False),
    ("length", "The lamp stands there. It is", "kept", "The lamp stands there.", True),
    ("stop_sequence", "The lamp stands there.", "kept", "The lamp stands there.", True),
    ("time", "The lamp stands there. And", "kept", "The lamp stands there.", True)])
def test_an_answer_that_was_cut_teaches_no_end(tmp_path: Path, finish: str, answer: str, status: str, learned: str, trimmed: bool) -> None:
    settings = config.load(None, ["salience.keep=0"])
    Transcript(tmp_path / "sessions", "SAGE", ManualClock()).add("Where does the lamp stand?", answer, ONE, finish)
    with Buffer(tmp_path / "experience.db") as buffer:
        ingest([tmp_path / "sessions"], buffer, companion=settings.companion, quality=settings.quality, salience=settings.salience)
        [item] = buffer.items()
        assert (item.status, item.response, item.trimmed) == (status, learned, trimmed)
        from edge_sleep.evaluate.day import answers_by_adapter
        assert answers_by_adapter(buffer) == {"one": (0, 1)}, "cut by a limit is not broken"
