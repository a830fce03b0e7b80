import os
import sqlite3

import pytest

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer, Row
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.migrations import FORMAT, STEPS, migrate
from edge_sleep.data.salience import DIMENSIONS, Scorer
from edge_sleep.errors import IntegrityError, StorageError, UsageError

SCORE = {**dict.fromkeys(DIMENSIONS, 0.5), "total": 0.5}


def session(name: str, *exchanges: Exchange) -> Session:
    return Session(name, f"{name}.json", "messages", exchanges)


def row(prompt: str, response: str, **more) -> Row:
    return Row(Exchange(prompt, response), response, SCORE, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "experience.db"


@pytest.fixture
def buffer(path):
    with Buffer(path) as opened:
        yield opened


def test_what_is_added_comes_back(buffer):
    exchange = Exchange("p?", "r.", 2, ({"role": "user", "content": "before"},), "2026-01-01", {"success": True})
    assert buffer.add(session("s1", exchange), [Row(exchange, "r.", SCORE)]) == 1
    found = buffer.get(exchange.id)
    assert (found.prompt, found.response, found.session, found.context, found.salience, found.status) == (
        "p?", "r.", "s1", exchange.context, SCORE, "kept")
    assert buffer.get(exchange.id[:6]) == found


def test_the_same_words_are_stored_once(buffer):
    assert buffer.add(session("s1"), [row("p?", "r."), row("p?", "r.")]) == 1
    assert buffer.add(session("s2"), [row("p?", "r.")]) == 0
    assert buffer.counts()["experiences"] == 1 and [s["exchanges"] for s in buffer.sessions()] == [1, 1]


def test_a_failed_add_leaves_nothing(buffer):
    with pytest.raises(KeyError):
        buffer.add(session("s1"), [row("p?", "r."), Row(Exchange("q?", "s."), "s.", {})])
    assert buffer.counts()["experiences"] == 0 and buffer.sessions() == [] and buffer.memory.exchanges == 0


def test_quarantine_and_release(buffer):
    buffer.add(session("s1"), [row("p?", "r."), row("q?", "s.", status="quarantined", reason="loop", evidence="x")])
    bad = buffer.items("quarantined")[0]
    assert bad.reason == "loop" and buffer.evidence(bad.id) == "x"
    buffer.release(bad.id)
    buffer.quarantine(buffer.items()[0].id)
    assert [(e.status, e.reason) for e in buffer.items()] == [("quarantined", "by_hand"), ("kept", None)]
    assert buffer.counts()["reasons"] == {"by_hand": 1}


def test_trained_is_remembered_per_night(buffer):
    buffer.add(session("s1"), [row("a?", "1."), row("b?", "2."), row("c?", "3.", status="quarantined", reason="loop")])
    first, second, _ = buffer.items()
    buffer.mark_trained("n1", "adapter1", [first.id])
    buffer.mark_trained("n2", "adapter2", [first.id])
    assert [e.trained_in for e in buffer.trained()] == [("n1", "n2")] and buffer.untrained() == [second]
    counts = buffer.counts()
    assert (counts["trained"], counts["untrained"], counts["quarantined"]) == (1, 1, 1)


def test_search_finds_text_and_not_patterns(buffer):
    buffer.add(session("s1"), [row("100% sure?", "yes."), row("sure?", "no.")])
    assert [e.prompt for e in buffer.items(search="0%")] == ["100% sure?"]
    assert len(buffer.items(search="SURE")) == 2 and len(buffer.items(limit=1)) == 1


@pytest.mark.parametrize("wanted", ["", "zz"])
def test_an_id_that_is_not_one_experience_is_a_usage_error(buffer, wanted):
    buffer.add(session("s1"), [row("a?", "1."), row("b?", "2.")])
    with pytest.raises(UsageError):
        buffer.get(wanted)


def test_it_is_all_there_after_reopening(path):
    with Buffer(path) as buffer:
        buffer.add(session("s1"), [row("a?", "1.")])
    with Buffer(path) as buffer:
        assert len(buffer.items()) == 1


def test_a_damaged_file_is_an_integrity_error_naming_it(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(IntegrityError, match=r"experience\.db"):
        Buffer(path)


def test_damage_inside_is_an_integrity_error(path):
    with Buffer(path) as buffer:
        buffer.add(session("s1"), [row(f"a{n}?", "word " * 200) for n in range(50)])
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(IntegrityError), Buffer(path) as buffer:
        buffer.items()


def test_a_full_disk_is_a_storage_error_and_loses_nothing(buffer):
    buffer.add(session("s1"), [row("a?", "1.")])
    pages = buffer._connection.execute("PRAGMA page_count").fetchone()[0]
    buffer._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        buffer.add(session("s2"), [row(f"b{n}?", "word " * 500) for n in range(50)])
    assert buffer.counts()["experiences"] == 1


def test_a_read_only_store_is_a_storage_error(buffer):
    buffer._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        buffer.add(session("s1"), [row("a?", "1.")])


def test_a_newer_format_is_refused(path):
    Buffer(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(IntegrityError, match="format"):
        Buffer(path)


def test_migrations_run_once_and_whole():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate(connection, "x") == 0 and migrate(connection, "x") == FORMAT
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "x", (("SELECT 1",),) * FORMAT + (("CREATE TABLE a (b)", "NOT SQL"),))
    assert connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT
    assert connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'a'").fetchone()[0] == 0


def test_a_home_of_the_first_format_is_brought_forward(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, "x", STEPS[:1])
    connection.execute("INSERT INTO sessions VALUES ('s1', 'a.json', 'messages', '7', NULL, NULL, '{}', 't')")
    connection.close()
    with Buffer(path) as buffer:
        assert [(s["id"], s["number"], s["phase"]) for s in buffer.sessions()] == [("s1", "7", None)]
        assert buffer.add(session("s2"), [row("a?", "1.")]) == 1


def test_two_processes_see_each_others_memory(path):
    from edge_sleep.data.salience import Scorer
    weights = Config().salience.weights
    with Buffer(path) as one, Buffer(path) as two:
        for buffer in (one, two, one):
            with buffer.transaction():
                Scorer(buffer.memory, weights).learn(Exchange("p?", "some words here"))
        with Buffer(path) as three:
            assert three.memory.exchanges == 3


def test_a_home_of_format_1_is_brought_over_with_what_it_remembers(path, tmp_path):
    talk = Session("s1", "f", "messages", tuple(
        Exchange(f"What about {word}?", f"The {word} is where it was put yesterday, behind the old blue door of the shed.")
        for word in ("spade", "ladder", "bucket")))
    rows = [Row(exchange, exchange.response, SCORE) for exchange in talk.exchanges]
    path.parent.mkdir(exist_ok=True)
    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, "x", STEPS[:1])
    old.execute("INSERT INTO sessions VALUES ('s1', 'f', 'messages', NULL, NULL, NULL, '{}', '')")
    for row in rows:
        old.execute(f"""INSERT INTO experiences (id, session, turn, prompt, response, prompt_key, {', '.join(SCORE)}, status)
                        VALUES (?, 's1', 1, ?, ?, 0, {', '.join('?' * len(SCORE))}, 'kept')""",
                    (row.exchange.id, row.exchange.prompt, row.response, *SCORE.values()))
    old.execute("INSERT INTO trained VALUES (?, 'n1', 'a1', '')", (rows[0].exchange.id,))
    old.close()
    with Buffer(path) as buffer, Buffer(tmp_path / "new.db") as fresh:
        with fresh.transaction():
            scorer = Scorer(fresh.memory, SCORE)
            for row in rows:
                fresh.add(talk, [row])
                scorer.learn(row.exchange)
        assert [e.trained_in for e in buffer.items()] == [("n1",), (), ()] and len(buffer.untrained()) == 2
        probe = Exchange("And the spade?", "The spade is behind the old blue door of the shed.")
        assert buffer.memory.exchanges == 3
        assert Scorer(buffer.memory, SCORE).score(probe) == Scorer(fresh.memory, SCORE).score(probe)
        tables = [row[0] for row in buffer.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        for table in ("word_counts", "pair_counts", "fingerprints", "prompt_marks", "scorer"):
            assert table in tables
            assert buffer.rows(f"SELECT * FROM {table} ORDER BY 1, 2" if table != "prompt_marks" else "SELECT * FROM prompt_marks ORDER BY 1") == \
                fresh.rows(f"SELECT * FROM {table} ORDER BY 1, 2" if table != "prompt_marks" else "SELECT * FROM prompt_marks ORDER BY 1")


def test_a_context_comes_back_as_it_was_said(path):
    said = [("How are you?", "Well, and you?"), ("Tired.", "Then rest, and tell me tomorrow."), ("Good night.", "Good night.")]
    exchanges, context = [], ()
    for prompt, answer in said:
        exchanges.append(Exchange(prompt, answer, context=context))
        context += ({"role": "user", "content": prompt}, {"role": "assistant", "content": answer})
    other = Exchange("Who?", "Me.", context=({"role": "system", "content": "Be kind."}, {"role": "user", "content": "x"}))
    with Buffer(path) as buffer:
        buffer.add(Session("s1", "f", "messages", ()), [Row(e, e.response[:4], SCORE) for e in (*exchanges, other)])
    with Buffer(path) as buffer:
        assert [item.context for item in buffer.items()] == [e.context for e in (*exchanges, other)]
        stored = [row[0] for row in buffer.rows("SELECT context FROM experiences ORDER BY seq")]
        assert "Tired" not in stored[2] and "Be kind." in stored[3]


def test_files_beside_it_are_writable_again_with_the_database(path):
    exchange = Exchange("p?", "r.")
    with Buffer(path) as first:
        first.add(session("s1", exchange), [Row(exchange, "r.", SCORE)])
        beside = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
        for file in (path, *beside):       # as SQLite makes them for a database that is read-only
            file.chmod(0o444)
        path.chmod(0o640)
        with Buffer(path) as again:
            assert [file.stat().st_mode & 0o777 for file in beside] == [0o640, 0o640] and len(again.items()) == 1
