import json

import pytest

from edge_sleep.config import Companion, Config, Data, Quality, Salience
from edge_sleep.data.buffer import STORE_FULL, Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.data.sage import entries
from edge_sleep.data.salience import DIMENSIONS
from edge_sleep.data.teach import teach
from edge_sleep.data.upkeep import Held, bound, evict
from edge_sleep.errors import UsageError

THINGS = ["river", "stone", "window", "candle", "bridge", "ladder", "cloud", "button", "garden", "mirror", "kettle", "wagon"]


def held(seq, status="kept", total=0.5, trained=False, precious=False):
    return Held(seq, status, total, trained, precious)


@pytest.mark.parametrize(("rows", "surplus", "gone"), [
    ([held(1), held(2)], 0, []), ([held(1), held(2)], -3, []), ([held(1), held(2)], 1, [1]),
    ([held(1, total=0.9), held(2, total=0.1)], 1, [2]),
    ([held(1, total=0.1), held(2, "evicted", 0.19)], 1, [2]),
    ([held(1, total=0.1, trained=True), held(2, total=0.9)], 1, [2]),
    ([held(1, total=0.1, precious=True), held(2, total=0.9, trained=True)], 1, [2]),
    ([held(1, total=0.1, precious=True), held(2, total=0.9, trained=True)], 2, [2, 1]),
    ([held(1, precious=True)], 5, [1])])
def test_who_is_missed_least(rows, surplus, gone):
    assert evict(rows, surplus) == gone


@pytest.fixture
def talk(tmp_path):
    folder = tmp_path / "sessions"
    folder.mkdir()
    for n, thing in enumerate(THINGS):
        (folder / f"s{n:02}.json").write_text(json.dumps({"session": n, "phase": "relating", "conversation": [
            {"speaker": "Claude", "text": f"What about the {thing}?"},
            {"speaker": "SAGE", "text": f"The {thing} is old, and the {thing} changes in spring number {n}."}]}))
    (folder / "loop.json").write_text(json.dumps({"prompt": "How are you?", "response": "What's the next step? " * 30}))
    return folder


def run(buffer, talk, **sections):
    return ingest([talk], buffer, companion=sections.get("companion", Companion()), quality=Quality(),
                  salience=sections.get("salience", Salience()), data=sections.get("data", Data()))


def test_a_full_store_lets_go_of_words_and_not_of_names(tmp_path, talk):
    with Buffer(tmp_path / "experience.db") as buffer:
        run(buffer, talk)
        first = buffer.items("kept")
        buffer.mark_trained("n1", "a1", [first[0].id])
        taught, *_ = teach(buffer, Config(), "Who is Lena?", "She is my sister.")
        report = run(buffer, talk, data=Data(max_experiences=4))
        assert report["evicted"] == {STORE_FULL: len(first) + 1 - 4}
        kept = {item.id for item in buffer.items("kept")}
        assert {first[0].id, taught.id} < kept and len(kept) == 4
        gone = buffer.items("evicted")
        assert {(item.prompt, item.response, item.reason, item.context) for item in gone} == {("", "", STORE_FULL, ())}
        assert "data.max_experiences = 4" in buffer.evidence(gone[0].id) and gone[0].salience["total"] > 0
        assert [item.reason for item in buffer.items("quarantined")] == ["loop"] and buffer.items("quarantined")[0].response
        again = run(buffer, talk, data=Data(max_experiences=4))
        assert (again["new"], again.get("evicted")) == (0, None)
        with pytest.raises(UsageError, match="dropped"):
            buffer.release(gone[0].id)
        assert bound(buffer, 1) == 3 and [item.id for item in buffer.items("kept")] == [taught.id]


def test_changed_weights_leave_what_a_fresh_reading_would(tmp_path, talk):
    with Buffer(tmp_path / "probe.db") as buffer:
        run(buffer, talk, salience=Salience(reward=0.0, novelty=0.9, keep=0.0))
        totals = sorted(item.salience["total"] for item in buffer.items("kept"))
    new = Salience(reward=0.0, novelty=0.9, keep=round((totals[5] + totals[6]) / 2, 6))
    with Buffer(tmp_path / "a.db") as one, Buffer(tmp_path / "b.db") as other:
        run(one, talk)
        run(one, talk, salience=new)
        run(other, talk, salience=new)
        assert [(i.status, i.reason, one.evidence(i.id)) for i in one.items()] == [
            (i.status, i.reason, other.evidence(i.id)) for i in other.items()]
        assert {i.status for i in one.items()} == {"kept", "evicted", "quarantined"}, "the threshold lies between"
        assert [i.salience["total"] for i in one.items()] == pytest.approx([i.salience["total"] for i in other.items()], abs=2e-6)
        run(one, talk)
        assert [i.status for i in one.items()].count("kept") == len(THINGS)


def test_what_was_decided_or_learned_stays_when_weights_change(tmp_path, talk):
    with Buffer(tmp_path / "a.db") as buffer:
        run(buffer, talk)
        learned, decided = [item.id for item in buffer.items("kept")[:2]]
        buffer.mark_trained("n1", "a1", [learned])
        buffer.release(decided)
        taught, *_ = teach(buffer, Config(), "Who?", "Me.")
        run(buffer, talk, salience=Salience(keep=0.99))
        assert [item.id for item in buffer.items("kept")] == [learned, decided, taught.id]
        assert buffer.get(taught.id).salience["total"] == 1.0


def test_sages_buffer_goes_out_and_comes_back(tmp_path, talk):
    cut = "First of all, the sea is wide and blue. Then there are ships on it, and birds, and a long coast with many"
    (talk / "cut.json").write_text(json.dumps({"session": "S9", "model": "qwen2.5:0.5b", "conversation": [
        {"claude": "Tell me of the sea, lena@example.org.", "sage": cut, "timestamp": "2026-01-17T20:00:00"}]}))
    with Buffer(tmp_path / "a.db") as buffer, Buffer(tmp_path / "b.db") as other:
        run(buffer, talk)
        out = list(entries(buffer))
        file = tmp_path / "experience_buffer.json"
        for document in (out, {"experiences": out, "max_size": 1000}):
            file.write_text(json.dumps(document))
            assert ingest([file], buffer, companion=Companion(), quality=Quality(), salience=Salience())["new"] == 0
            ingest([file], other, companion=Companion(), quality=Quality(), salience=Salience())
        assert [(i.id, i.prompt, i.response, i.trimmed) for i in other.items()] == [
            (i.id, i.prompt, i.response, i.trimmed) for i in buffer.items("kept")]
        assert {s["phase"] for s in other.sessions()} == {"relating", None}
    entry = out[0]
    assert set(entry) == {"id", "prompt", "response", "salience", "session", "phase", "timestamp", "metadata"}
    assert set(entry["salience"]) == {*DIMENSIONS, "total"} and len(entry["id"]) == 16
    last = next(item for item in out if item["session"] == "S9")
    assert last["timestamp"] == "2026-01-17T20:00:00" and last["response"] == cut
    assert last["metadata"] == {"source": "edge_sleep", "model": "qwen2.5:0.5b", "learned": "First of all, the sea is wide and blue."}


def test_lineage_names_night_and_adapter(tmp_path, talk):
    with Buffer(tmp_path / "a.db") as buffer:
        run(buffer, talk)
        one = buffer.items("kept")[0].id
        buffer.mark_trained("n2", "b", [one])
        buffer.mark_trained("n1", "a", [one])
        assert {(step["night"], step["adapter"]) for step in buffer.lineage(one)} == {("n1", "a"), ("n2", "b")}
        assert buffer.lineage(buffer.items("kept")[1].id) == []
