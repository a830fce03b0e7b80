import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.config import Companion, Data, Quality, Salience
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.ingest import ingest
from edge_sleep.data.masking import masked
from edge_sleep.data.origin import ModelName
from edge_sleep.data.redact import KINDS
from edge_sleep.data.session import session_id
from edge_sleep.data.shapes import chain

SECRET = ["lena@example.org", "+43 664 1234567", "/home/lena/tea.txt", "4111 1111 1111 1111"]


def session(*turns):
    exchanges = tuple(chain([(prompt, answer, None, {"expected": prompt}) for prompt, answer in turns], True))
    return Session(session_id(exchanges), "f", "messages", exchanges)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*SECRET, "tea", "the sea"]), st.sampled_from([*SECRET, "bread", "a stone"])), min_size=1, max_size=5),
       st.sets(st.sampled_from(KINDS)))
def test_ids_do_not_depend_on_the_setting_and_masking_twice_is_masking_once(turns, kinds):
    whole = session(*[(f"I say {a}.", f"You say {b}.") for a, b in turns])
    full, _ = masked(whole)
    part, _ = masked(whole, kinds)
    assert [e.id for e in part.exchanges] == [e.id for e in full.exchanges] and part.id == full.id
    assert masked(full) == (full, {})
    text = json.dumps([[e.prompt, e.response, e.context, e.labels] for e in full.exchanges])
    assert not any(secret in text for secret in SECRET)


def test_what_holds_nothing_is_the_same_object():
    plain = session(("What is it?", "A stone."), ("Why?", "It is old."))
    assert masked(plain)[0] is plain


def test_a_number_that_the_cut_would_halve_is_masked_first():
    long = session(("a?", "b."), ("word " * 58 + "and +43 664 1234567 is mine", "c."))
    assert long.exchanges[0].labels["followed_by"].endswith("+43 66")
    assert "+43" not in masked(long)[0].exchanges[0].labels["followed_by"]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "a.json").write_text(json.dumps({"conversation": [
        {"speaker": "Claude", "text": "Write to lena@example.org, please."},
        {"speaker": "SAGE", "text": "I wrote to lena@example.org about the garden, and to +43 664 1234567 about the sea."}]}))
    return tmp_path


def run(home, name="experience.db", **more):
    with Buffer(home / name) as buffer:
        report = ingest([home / "sessions"], buffer, companion=more.pop("companion", Companion()), quality=Quality(),
                        salience=Salience(), **more)
        return report, buffer.items()


def test_ingest_masks_counts_once_and_says_so(home):
    report, items = run(home)
    assert report["redacted"] == {"email": 2, "phone": 1}
    assert (items[0].prompt, items[0].response) == (
        "Write to [email], please.", "I wrote to [email] about the garden, and to [phone] about the sea.")
    again, _ = run(home)
    assert (again["new"], again["redacted"]) == (0, {})
    for file in home.glob("experience.db*"):
        assert b"lena@example.org" not in file.read_bytes()


def test_a_kind_that_is_switched_off_stays_and_the_transcript_is_still_known(home):
    report, items = run(home, data=Data(redact=("phone",)))
    assert report["redacted"] == {"phone": 1} and "lena@example.org" in items[0].response
    again, after = run(home)
    assert again["new"] == 0 and [item.id for item in after] == [item.id for item in items] == [run(home, "b.db")[1][0].id]


def test_another_models_session_is_set_aside_until_it_is_asked_for(home):
    own = ModelName("qwen", "2.5", 0.5)
    talk = [{"claude": "What about tea?", "sage": "Tea is best from the blue pot, at four."},
            {"claude": "What about moss?", "sage": "Moss grows slowly on the north wall of our barn."}]
    (home / "sessions" / "b.json").write_text(json.dumps({"model": "phi4:14b", "conversation": talk}))
    report, items = run(home, own=own)
    assert report["quarantined"] == {"other_model": 2} and (report["exchanges"], report["new"], report["experiences"]) == (3, 3, 1)
    with Buffer(home / "experience.db") as buffer:
        assert "phi4:14b" in buffer.evidence(items[1].id) and buffer.memory.exchanges == 1, "it is not compared with"
    report, items = run(home, own=own)
    assert (report["new"], report["quarantined"]) == (0, {})
    report, items = run(home, own=own, companion=Companion(models=("phi4*",)))
    assert (report["new"], report["experiences"]) == (0, 2) and {item.status for item in items} == {"kept"}
    assert run(home, own=own)[1] == items, "what was asked for stays"


def test_a_copy_in_the_companions_own_session_is_its_own(home):
    talk = [{"claude": "What about tea?", "sage": "The tea is old and quiet, as far as I can tell."}]
    (home / "sessions" / "b.json").write_text(json.dumps({"model": "phi4:14b", "conversation": talk}))
    (home / "sessions" / "c.json").write_text(json.dumps({"conversation": talk}))
    report, items = run(home, own=ModelName("qwen", "2.5", 0.5))
    assert [item.status for item in items] == ["kept", "kept"] and report["duplicates"] == 1


def test_exchanges_keep_their_own_address():
    assert Exchange("a", "b", address="x").id == "x"
