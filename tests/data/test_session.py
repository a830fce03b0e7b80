import csv
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.session import read_paths
from edge_sleep.data.shapes import Roles, from_document

COMPANION, TEACHER = ("SAGE", "assistant"), ("Claude", "Teacher", "Dennis", "user", "human", "thor")
ROLES = Roles.of(COMPANION, TEACHER)


def read(*paths: Path):
    return read_paths(paths, COMPANION, TEACHER)


def pairs(document) -> list[tuple[str, str]]:
    return [(exchange.prompt, exchange.response) for exchange in from_document(document, ROLES).exchanges]


ONE = [("Who are you?", "I am SAGE.")]
SHAPES = {
    "speaker_text": {"conversation": [{"speaker": "Claude", "text": "Who are you?"}, {"speaker": "SAGE", "text": "I am SAGE."}]},
    "names_as_keys": {"conversations": [{"claude": "Who are you?", "sage": "I am SAGE."}]},
    "capital_names": {"turns": [{"Claude": "Who are you?", "SAGE": "I am SAGE.", "duration": 1.0}]},
    "turns_with_salience": {"turns": [{"turn": 1, "claude": "Who are you?", "sage": "I am SAGE.", "salience": 0.5}]},
    "thor": {"exchanges": [{"thor": "Who are you?", "sage": "I am SAGE."}]},
    "user_sage": {"scaffolding_conversation": [{"turn": 1, "user": "Who are you?", "sage": "I am SAGE."}]},
    "transcript": {"transcript": [{"turn": 1, "speaker": "Thor", "text": "Who are you?"}, {"speaker": "SAGE", "text": "I am SAGE."}]},
    "latent": {"results": [{"area": "a", "probe": {"prompt": "Who are you?", "focus": "f"}, "response": "I am SAGE."}]},
    "responses": {"responses": [{"turn": 1, "prompt": "Who are you?", "response": "I am SAGE."}]},
    "nested": {"conditions": {"A": {"trials": [{"prompt": "Who are you?", "response": "I am SAGE."}]}}},
    "lone_pair": {"conditions": {"A": {"prompt": "Who are you?", "response": "I am SAGE."}}},
    "live_log": [{"user_input": "Who are you?", "model_response": "I am SAGE.", "salience_scores": {}}],
    "openai": {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Who are you?"},
                            {"role": "assistant", "content": "I am SAGE."}]},
    "openai_parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
                                  {"role": "assistant", "content": "I am SAGE."}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Who are you?"}, {"from": "gpt", "value": "I am SAGE."}]},
    "buffer": [{"prompt": "Who are you?", "response": "I am SAGE.", "salience": {"total": 0.5}, "session": 3}],
    "buffer_in_dict": {"experiences": [{"prompt": "Who are you?", "response": "I am SAGE.", "salience": 0.5}]},
    "exercises": {"exercises": [{"exercise": {"type": "t", "prompt": "Who are you?"}, "response": "I am SAGE."}]},
    "alpaca": [{"instruction": "Who are you?", "input": "", "output": "I am SAGE."}],
    "question_answer": [{"question": "Who are you?", "answer": "I am SAGE."}],
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_its_exchange(name, tmp_path):
    file = tmp_path / "session.json"
    file.write_text(json.dumps(SHAPES[name]))
    reading = read(file)
    assert [(e.prompt, e.response) for session in reading.sessions for e in session.exchanges] == ONE
    assert (reading.files_read, reading.refused) == (1, [])


@pytest.mark.parametrize("name", [name for name in SHAPES if isinstance(SHAPES[name], dict)])
def test_the_same_document_as_a_line_of_jsonl(name, tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(SHAPES[name]) + "\n\n" + json.dumps(SHAPES[name]) + "\n")
    assert sum(len(session.exchanges) for session in read(file).sessions) in (1, 2)


def nest(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "empty_file"), (b"  \n", "empty_file"), (b'{"conversation": [{"speaker": "Cl', "invalid_json"),
    (b"\xff\xfe\x00", "not_text"), (b'{"a": "\xe9"}', "not_text"), (b"[1, 2, 3]", "no_dialogue"), (b"{}", "no_dialogue"),
    (b"3", "no_dialogue"), (b"null", "no_dialogue"), (b'"text"', "no_dialogue"), (nest(50_000), "too_deep"),
    (b'{"experiences": [], "max_size": 1000}', "no_dialogue"), (b"1" * 5000, "invalid_json"),
    (b'{"conversation": [{"speaker": "Luna", "text": "hi"}, {"speaker": "Max", "text": "hello"}]}', "unknown_speakers"),
])
def test_bad_files_are_refused_by_name(content, reason, tmp_path):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    reading = read(file)
    assert [(refusal.path, refusal.reason) for refusal in reading.refused] == [(file, reason)]
    assert reading.refused[0].detail and not reading.sessions and reading.files_read == 0


def test_missing_paths_and_empty_folders_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert [r.reason for r in read(tmp_path / "nothing.json", tmp_path / "empty").refused] == ["missing", "no_files"]


def test_a_large_document_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_sleep.data.documents.LARGEST_DOCUMENT_BYTES", 100)
    file = tmp_path / "large.json"
    file.write_text(json.dumps(SHAPES["openai"]) + " " * 200)
    assert [r.reason for r in read(file).refused] == ["too_large"]


def test_bad_lines_are_named_and_the_others_read(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"prompt": "a?", "response": "b."}\n{"prom\n{"prompt": "c?", "response": "d."}\n')
    reading = read(file)
    assert len(reading.sessions[0].exchanges) == 2
    assert reading.refused[0].reason == "invalid_lines" and "(2)" in reading.refused[0].detail


def test_folders_are_walked_in_order_and_twins_are_one_session(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.json").write_text(json.dumps(SHAPES["names_as_keys"]))
    (tmp_path / "a.json").write_text(json.dumps(SHAPES["speaker_text"]))
    (tmp_path / "notes.txt").write_text("not a transcript")
    reading = read(tmp_path)
    assert reading.files_read == 2 and [Path(s.source).name for s in reading.sessions] == ["a.json"]


def test_context_number_model_and_stamp_are_kept(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"session": 7, "model": "m", "start": "2026-01-01T00:00:00", "edge_sleep": {"adapter": "a1"},
                                "conversation": [{"claude": "one?", "sage": "1."}, {"claude": "two?", "sage": "2."}]}))
    session = read(file).sessions[0]
    assert (session.number, session.model, session.started, session.stamp) == ("7", "m", "2026-01-01T00:00:00", {"adapter": "a1"})
    assert session.exchanges[1].context == ({"role": "user", "content": "one?"}, {"role": "assistant", "content": "1."})
    assert session.exchanges[0].labels["followed_by"] == "two?"


def test_training_track_is_merged_without_doubles_and_keeps_its_labels():
    document = {"exercises": [
        {"exercise": {"type": "math", "prompt": "2+2?"}, "response": "4", "evaluation": {"success": True}},
        {"exercise": {"type": "say", "prompt": "Say hi."}, "response": "Hi.", "r6_evaluation": {"evaluation": "include"}}],
        "conversation": [{"speaker": "Teacher", "text": "Ready?"}, {"speaker": "SAGE", "text": "Yes."},
                         {"speaker": "Teacher", "text": "Say hi."}, {"speaker": "SAGE", "text": "Hi."}]}
    found = from_document(document, ROLES).exchanges
    assert [e.prompt for e in found] == ["Ready?", "2+2?", "Say hi."]
    assert found[1].labels["success"] is True and found[2].labels["evaluation"] == "include"


@pytest.mark.parametrize("dated, expected", [
    (True, [("One?", "First."), ("Two?", "Second.")]), (False, [("One?\nTwo?", "First.\nSecond.")])])
def test_late_answers_of_a_dated_log_belong_to_their_prompts_in_order(dated, expected):
    lines = [{"sender": who, "text": text, **({"timestamp": 100.5 + number} if dated else {})} for number, (who, text) in enumerate(
        [("user", "One?"), ("user", "Two?"), ("SAGE", "First."), ("SAGE", "Second.")])]
    assert pairs(lines) == expected


def test_another_companions_answers_are_not_taken():
    found = from_document([{"sender": "human", "text": "Hi", "css_class": "user"},
                           {"sender": "SAGE", "text": "Hello.", "css_class": "sage"},
                           {"sender": "human", "text": "And you?", "css_class": "user"},
                           {"sender": "legion", "text": "I am well.", "css_class": "sage"}], ROLES)
    assert [e.response for e in found.exchanges] == ["Hello."] and found.unknown == {"legion"}


def test_names_come_from_configuration(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"conversation": [{"speaker": "Ida", "text": "Hi?"}, {"speaker": "Luna", "text": "Hello."}]}))
    reading = read_paths([file], ["luna"], ["Ida"])
    assert reading.sessions[0].exchanges[0].response == "Hello."


def test_lone_surrogates_do_not_stop_the_reader(tmp_path):
    file = tmp_path / "s.json"
    file.write_text('{"prompt": "a\\ud800?", "response": "b\\u0000."}')
    assert read(file).sessions[0].exchanges[0].id


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner:
                           st.lists(inner, max_size=3) | st.dictionaries(
                               st.sampled_from(["conversation", "speaker", "text", "role", "content", "sage", "claude", "prompt",
                                                "response", "exercises", "exercise", "probe", "messages", "x"]), inner, max_size=3),
                           max_leaves=12)


@settings(max_examples=80, deadline=None)
@given(json_values)
def test_no_document_breaks_the_reader(document):
    for exchange in from_document(document, ROLES).exchanges:
        assert exchange.prompt and isinstance(exchange.response, str)


CORPUS = os.environ.get("EDGE_SLEEP_SAGE_CORPUS")


@pytest.mark.skipif(not CORPUS, reason="EDGE_SLEEP_SAGE_CORPUS names no folder with SAGE's transcripts")
def test_sage_corpus_is_read_whole():
    root = Path(CORPUS)
    manifest = (root / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(manifest, delimiter="\t") if row["split"] == "dev"]
    wanted, found = Counter(), Counter()
    for row in rows:
        reading = read(root / row["path"])
        assert reading.sessions or reading.refused, row["path"]
        wanted[row["kind"]] += int(row["n_exchanges"])
        found[row["kind"]] += sum(len(session.exchanges) for session in reading.sessions)
    # One file holds five exchanges that the manifest counts as none.
    assert {kind: found[kind] - wanted[kind] for kind in wanted if abs(found[kind] - wanted[kind]) > 0.01 * wanted[kind]} in (
        {"raising_14b_experiment": 5}, {})
