import json

import pytest

from edge_sleep.config import Companion, Quality, Salience
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.errors import StorageError

KEYS = {"files", "exchanges", "new", "duplicates", "experiences", "quarantined", "redacted", "refused_files"}
CUT = "First of all, the sea is wide and blue. Then there are ships on it, and birds, and a long coast with many"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "sessions"
    folder.mkdir()
    talk = [{"speaker": "Claude", "text": "What is my sister's name?"}, {"speaker": "SAGE", "text": "Your sister's name is Lena."},
            {"speaker": "Claude", "text": "What's on your mind?"}, {"speaker": "SAGE", "text": "What's the next step? " * 30},
            {"speaker": "Claude", "text": "Tell me about the sea."}, {"speaker": "SAGE", "text": CUT}]
    (folder / "a.json").write_text(json.dumps({"conversation": talk}))
    (folder / "b.json").write_text(json.dumps({"conversation": talk}))
    (folder / "c.json").write_text("{")
    return tmp_path


def run(home, **sections):
    with Buffer(home / "experience.db") as buffer:
        report = ingest([home / "sessions"], buffer, companion=Companion(), quality=sections.get("quality", Quality()),
                        salience=sections.get("salience", Salience()))
        return report, buffer.items()


def test_the_report_is_the_contracts(home):
    report, items = run(home)
    assert set(report) == KEYS
    assert report["files"] == {"read": 2, "refused": {"invalid_json": 1}}
    assert (report["exchanges"], report["new"], report["duplicates"], report["experiences"]) == (6, 3, 3, 2)
    assert report["quarantined"] == {"loop": 1} and report["redacted"] == {}
    assert report["refused_files"][0]["path"].endswith("c.json") and report["refused_files"][0]["detail"]
    assert json.loads(json.dumps(report)) == report
    assert [(e.status, e.trimmed) for e in items] == [("kept", False), ("quarantined", False), ("kept", True)]
    assert items[2].response == "First of all, the sea is wide and blue."


def test_a_second_ingest_adds_nothing(home):
    _, first = run(home)
    report, second = run(home)
    assert (report["new"], report["experiences"], report["duplicates"]) == (0, 0, 6) and first == second


def test_one_ingest_or_one_per_file_leave_the_same_store(home, tmp_path):
    talk = [{"prompt": f"What about {n}?", "response": f"It is number {n} of the row."} for n in range(6)]
    for n, row in enumerate(talk):
        (home / "sessions" / f"d{n}.json").write_text(json.dumps(row))
    _, whole = run(home)
    other = tmp_path / "other"
    other.mkdir()
    for file in sorted((home / "sessions").iterdir()):
        with Buffer(other / "experience.db") as buffer:
            ingest([file], buffer, companion=Companion(), quality=Quality(), salience=Salience())
    with Buffer(other / "experience.db") as buffer:
        assert buffer.items() == whole


def test_small_transactions_change_nothing(home, monkeypatch):
    whole, items = run(home)
    monkeypatch.setattr("edge_sleep.data.ingest._PER_TRANSACTION", 1)
    (home / "experience.db").unlink()
    assert run(home) == (whole, items)


def test_low_salience_is_evicted_with_its_number_and_nothing_is_lost(home):
    report, items = run(home, salience=Salience(keep=0.99))
    assert report["experiences"] == 0 and {e.status for e in items} == {"evicted", "quarantined"}


def test_the_gate_can_be_switched_off(home):
    report, items = run(home, quality=Quality(enabled=False), salience=Salience(keep=0))
    assert report["quarantined"] == {} and report["experiences"] == 3 and not any(e.trimmed for e in items)


def test_a_full_disk_keeps_what_was_there(home):
    with Buffer(home / "experience.db") as buffer:
        pages = buffer._connection.execute("PRAGMA page_count").fetchone()[0]
        buffer._connection.execute(f"PRAGMA max_page_count = {pages}")
        (home / "sessions" / "d.jsonl").write_text("".join(
            json.dumps({"prompt": f"What about {n}?", "response": f"word{n} " * 300}) + "\n" for n in range(50)))
        with pytest.raises(StorageError):
            ingest([home / "sessions"], buffer, companion=Companion(), quality=Quality(), salience=Salience())
        assert buffer.items() == []


def test_the_first_of_many_copies_is_found_with_hindsight(home):
    said = "I notice that I generate some responses more readily than others, with higher probability."
    asked = ["What do you dream of?", "How was the concert?", "Which bread is best?", "Where are my keys?"]
    for n, prompt in enumerate(asked):
        (home / "sessions" / f"e{n}.json").write_text(json.dumps({"prompt": prompt, "response": said + f" That is {n}."}))
    report, items = run(home)
    copies = [e for e in items if e.prompt in asked]
    assert [e.reason for e in copies] == ["regurgitation"] + ["repetition"] * 3
    assert (report["quarantined"]["repetition"], report["quarantined"]["regurgitation"]) == (3, 1)
    with Buffer(home / "experience.db") as buffer:
        buffer.release(copies[0].id)
    (home / "sessions" / "f.json").write_text(json.dumps({"prompt": "Why is rain wet?", "response": said}))
    assert [e.reason for e in run(home)[1] if e.prompt in asked] == [None] + ["repetition"] * 3


BROKEN = "What's the next step? " * 30


def collapsed_talk(last):
    return {"conversation": [
        {"speaker": "Claude", "text": "How are you?"}, {"speaker": "SAGE", "text": BROKEN + "1"},
        {"speaker": "Claude", "text": "What is new?"}, {"speaker": "SAGE", "text": BROKEN + "2"},
        {"speaker": "Claude", "text": "Where were we?"}, {"speaker": "SAGE", "text": BROKEN + "3"},
        {"speaker": "Claude", "text": "And the sea?"}, {"speaker": "SAGE", "text": last}]}


def test_the_rest_of_a_collapsed_session_is_quarantined_and_can_be_released(home):
    fine = "The sea was calm this morning, and two boats went out."
    (home / "sessions" / "g.json").write_text(json.dumps(collapsed_talk(fine)))
    report, items = run(home)
    last = next(e for e in items if e.response == fine)
    assert last.reason == "collapsed_session" and report["quarantined"]["collapsed_session"] == 1
    assert report["experiences"] == sum(e.status == "kept" for e in items)
    with Buffer(home / "experience.db") as buffer:
        assert "3 of 4" in buffer.evidence(last.id)
        buffer.release(last.id)
    assert next(e for e in run(home)[1] if e.id == last.id).status == "kept"


def test_the_session_rule_is_a_setting(home):
    (home / "sessions" / "g.json").write_text(json.dumps(collapsed_talk("The sea was calm this morning.")))
    assert "collapsed_session" not in run(home, quality=Quality(collapsed_session=0.8))[0]["quarantined"]
