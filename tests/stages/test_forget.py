"""Erasure: the words are nowhere, the companion is as it was before, and what else it learned will be learned again."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.data.buffer import Buffer
from edge_sleep.errors import UsageError
from edge_sleep.stages import forget
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from tests import micro

pytestmark = pytest.mark.night
SECRET = [("What is the code of the shed?", "The code of the shed is marzipan four seven."),
          ("Who knows the code of the shed?", "Only you and I know about marzipan four seven."),
          ("Where is the key of the shed?", "The key hangs behind the third beehive."),
          ("What do we keep in the shed?", "We keep the kayak and two paddles in the shed.")]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory):
    """The first night learns the talk, the second the secret."""
    root = tmp_path_factory.mktemp("secret")
    model = micro.make_model(root / "model")
    micro.write_talk(root / "talk")
    first = micro.night(root / "home", model, root / "talk")
    secret = micro.write_talk(root / "talk", SECRET, number=2)
    second = micro.night(root / "home", model, root / "talk")
    assert (first["outcome"], second["outcome"]) == ("promoted", "promoted")
    return root, first, second, secret


@pytest.fixture
def home(two_nights, tmp_path):
    shutil.copytree(two_nights[0] / "home", tmp_path / "home")
    return Home(tmp_path / "home")


def forgotten(home: Home, name: str) -> dict:
    with Buffer(home.experiences) as buffer:
        planned = forget.plan(home, buffer, name)
        forget.carry_out(home, buffer, planned, Clock())
    return planned


def found_in(root: Path, *needles: str) -> list[str]:
    return [f"{file}: {needle}" for file in sorted(root.rglob("*")) if file.is_file()
            for needle in needles if needle.encode() in file.read_bytes()]


def test_a_byte_search_finds_nothing_and_the_adapter_before_is_current(home, two_nights):
    _, first, second, secret = two_nights
    assert found_in(home.root, "marzipan", "beehive")
    planned = forgotten(home, str(secret))
    assert found_in(home.root, "marzipan", "beehive", "kayak") == []
    assert planned["adapters"] == [second["candidate"]] and planned["exchanges"] == 4
    assert store.incumbent(home) == first["candidate"] == planned["current_after"]
    assert [entry["id"] for entry in store.history(home)] == [first["candidate"]]
    assert store.lineage(home, first["candidate"]) == [first["candidate"]]
    assert json.loads((home.night(second["night"]) / "record.json").read_text())["forgotten"] is True


def test_reading_the_transcript_again_does_not_bring_it_back(home, two_nights):
    root, *_, secret = two_nights
    forgotten(home, str(secret))
    record = micro.night(home.root, root / "model", root / "talk", "data.min_new=1")
    assert record["data"]["new"] == 0
    assert found_in(home.root, "marzipan") == []


def test_what_the_lost_adapters_had_learned_besides_is_learned_again(home, two_nights):
    """The first session is forgotten: both adapters go, and the secret is new again."""
    root, first, second, _ = two_nights
    planned = forgotten(home, str(root / "talk/session_001.json"))
    assert planned["adapters"] == [first["candidate"], second["candidate"]]
    assert (planned["current_after"], store.incumbent(home)) == (None, None)
    assert planned["learned_anew"] == 4
    with Buffer(home.experiences) as buffer:
        assert {item.prompt for item in buffer.untrained()} == {prompt for prompt, _ in SECRET}
    assert found_in(home.root, "Heron", "mint tea") == []


def test_one_exchange_alone(home):
    with Buffer(home.experiences) as buffer:
        one = next(item for item in buffer.items() if "beehive" in item.response)
    forgotten(home, one.id[:8])
    assert found_in(home.root, "beehive") == []
    with Buffer(home.experiences) as buffer:
        assert any("marzipan" in item.response for item in buffer.items("kept"))
        assert not any("beehive" in message["content"] for item in buffer.items() for message in item.context)
        with pytest.raises(UsageError, match="erased"):
            buffer.release(one.id)


def test_twice_is_as_once_and_a_stranger_is_named(home, two_nights):
    *_, secret = two_nights
    forgotten(home, str(secret))
    with Buffer(home.experiences) as buffer, pytest.raises(UsageError, match="no experience"):
        forget.plan(home, buffer, str(secret))


def test_what_another_session_holds_too_stays_there(home, two_nights):
    root, *_ = two_nights
    both = micro.write_talk(root / "third", SECRET[:2], number=3)
    micro.night(home.root, root / "model", both.parent, "data.min_new=50")
    with Buffer(home.experiences) as buffer:
        planned = forget.plan(home, buffer, str(both))
    assert (planned["exchanges"], len(planned["shared_with_other_sessions"])) == (0, 2)


def test_a_plan_changes_nothing(home, two_nights):
    *_, secret = two_nights
    before = {file: file.read_bytes() for file in sorted(home.root.rglob("*.json"))}
    with Buffer(home.experiences) as buffer:
        forget.plan(home, buffer, str(secret))
    assert before == {file: file.read_bytes() for file in sorted(home.root.rglob("*.json"))}


def test_a_transcript_with_a_separator_of_lines_in_it_keeps_its_other_exchanges(tmp_path):
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in ("one\u2028two", "the secret", "three")))
    forget._clear_transcript(file, ["secret"])
    assert [json.loads(line)["text"] for line in file.read_text().split("\n")[:-1]] == ["one\u2028two", forget.MARK, "three"]
