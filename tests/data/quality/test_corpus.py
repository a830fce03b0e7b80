import json

import pytest

from edge_sleep.config import Quality
from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality import assess
from edge_sleep.data.quality.corpus import known
from edge_sleep.errors import ConfigError
from tests.data.quality.seen import Seen

ANSWER = "A river is a road that walks by itself, and nobody ever has to mend it after the winter has gone."
PAIRS = {"pairs": [{"question": "Do rivers sleep?", "good": ANSWER}, {"question": "Is it late?", "good": "Yes."}]}


@pytest.fixture(params=["json", "jsonl", "txt"])
def corpus(request, tmp_path):
    path = tmp_path / f"corpus.{request.param}"
    lines = {"json": json.dumps(PAIRS), "jsonl": "\n".join(map(json.dumps, PAIRS["pairs"])),
             "txt": f"Do rivers sleep?\n{ANSWER}\nIs it late?\nYes."}
    path.write_text(lines[request.param])
    return str(path)


@pytest.mark.parametrize(("response", "refused"), [
    (ANSWER, True), ("Well. " + ANSWER[:70] + " and so it goes on for the rest of us.", True), ("Do rivers sleep? Is it late?", True),
    ("Yes.", False), ("I walked along the river after the winter had gone, and it was late.", False),
    ("Do rivers sleep? I think that they rest under the ice. Nobody has asked them yet.", False)])
def test_overlap_with_a_named_corpus(corpus, response, refused):
    exchange = Exchange("What is on your mind?", response)
    finding = assess(exchange, Seen(), Quality(known_corpora=(corpus,)))
    assert (finding is not None and finding.reason.value == "regurgitation" and "corpus" in finding.evidence) is refused
    assert assess(exchange, Seen(), Quality()) is None
    assert assess(exchange, Seen(), Quality(known_corpora=(corpus,), switched_off=("regurgitation",))) is None


def test_a_corpus_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(ConfigError) as problem:
        known((str(tmp_path / "bad.jsonl"), str(tmp_path / "missing.json")))
    assert "bad.jsonl" in str(problem.value) and "missing.json" in str(problem.value)


def test_numbers_are_no_text_and_what_is_too_large_is_named(tmp_path, monkeypatch):
    file = tmp_path / "corpus.json"
    file.write_text(json.dumps({"id": 7, "score": 0.5, "seen": True, "none": None, "answer": ANSWER}))
    assert known((str(file),)).runs
    monkeypatch.setattr("edge_sleep.data.quality.corpus._LARGEST_BYTES", 10)
    (tmp_path / "other.json").write_text(json.dumps({"answer": ANSWER}))
    with pytest.raises(ConfigError, match="name a sample of it"):
        known((str(tmp_path / "other.json"),))
