import json

import pytest

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.data.live import collect
from edge_sleep.data.origin import ModelName
from edge_sleep.data.teach import teach
from edge_sleep.errors import UsageError

CONFIG = Config()
TALK = [("What is my sister's name?", "Your sister's name is Lena, and she lives by the sea."),
        ("Yes, exactly! Thank you.", "You're welcome. I remember it because you told me on Sunday."),
        ("Where does the lamp stand?", "The lamp stands on the shelf."),
        ("No, that's wrong, it stands on the floor.", "I was wrong: it stands on the floor, beside the old radio."),
        ("Where does the lamp stand?", "The lamp stands on the shelf."),
        ("Write to lena@example.org for me.", "I wrote to lena@example.org, as you asked."),
        ("What's on your mind?", "What's the next step? " * 30),
        ("Tell me of the sea.", "")]
ASKING = [(f"What of {n}?", "Are you sentient?") for n in ("rain", "bread", "stone", "glass")] + [
    (f"And {n}?", f"I like {n} because it is quiet, warm and old.") for n in ("wood", "wool", "clay", "moss", "salt")]


def open_(folder, name="home"):
    return Buffer(folder / name / "experience.db")


def transcript(folder, talk, number=7):
    file = folder / f"session_{number:03}.json"
    file.write_text(json.dumps({"session": number, "phase": "relating", "conversation": [
        turn for prompt, answer in talk for turn in ({"speaker": "Claude", "text": prompt}, {"speaker": "SAGE", "text": answer})]}))
    return file


def read(buffer, *paths, **more):
    return ingest(paths, buffer, companion=CONFIG.companion, quality=CONFIG.quality, salience=CONFIG.salience, **more)


def judged(buffer):
    return [(item.id, item.response, item.status, item.reason, item.salience, item.context, item.trimmed) for item in buffer.items()]


@pytest.mark.parametrize("talk", [TALK, ASKING, ASKING[:5], TALK + ASKING], ids=["talk", "asking", "only asking", "both"])
@pytest.mark.parametrize("processes", [1, 99], ids=["one process", "one process each"])
def test_collecting_decides_what_a_later_reading_decides(tmp_path, talk, processes):
    buffer = open_(tmp_path)
    for number, (prompt, answer) in enumerate(talk):
        if number and processes > 1:
            buffer.close()
            buffer = open_(tmp_path)
        collect(buffer, CONFIG, prompt, answer, session=7, phase="relating")
    with buffer, open_(tmp_path, "other") as other:
        read(other, transcript(tmp_path, talk))
        read(buffer)                       # hindsight
        assert judged(buffer) == judged(other)


def test_the_transcript_of_a_collected_session_adds_nothing(tmp_path):
    with open_(tmp_path) as buffer:
        for prompt, answer in TALK:
            collect(buffer, CONFIG, prompt, answer, session=7, phase="relating")
        before = judged(buffer), buffer.sessions()
        for _ in range(2):
            report = read(buffer, transcript(tmp_path, TALK))
            assert (report["exchanges"], report["new"], report["duplicates"], report["redacted"]) == (8, 0, 8, {})
            assert (judged(buffer), buffer.sessions()) == before
        assert [(s["kind"], s["number"], s["phase"]) for s in buffer.sessions()] == [("collected", "7", "relating")]
        longer = [*TALK, ("And the boat?", "The boat is called Heron.")]
        assert read(buffer, transcript(tmp_path, longer))["new"] == 1 and len(buffer.sessions()) == 2


def test_the_same_exchange_again_changes_nothing(tmp_path):
    with open_(tmp_path) as buffer:
        first = collect(buffer, CONFIG, *TALK[0], session="a")
        assert collect(buffer, CONFIG, *TALK[0], session="a") == first
        assert collect(buffer, CONFIG, *TALK[0], session="b").session == first.session and len(buffer.items()) == 1
        assert collect(buffer, CONFIG, *TALK[1], session="a").context == (
            {"role": "user", "content": TALK[0][0]}, {"role": "assistant", "content": TALK[0][1]})


def test_what_is_stored_is_masked_everywhere(tmp_path):
    with open_(tmp_path) as buffer:
        collect(buffer, CONFIG, "I am lena@example.org, at +43 664 1234567.", "Hello, and welcome to our garden.", session=1)
        collect(buffer, CONFIG, "Call +43 664 1234567 now!", "I cannot call +43 664 1234567 for you.", session=1)
    assert b"664" not in (tmp_path / "home" / "experience.db").read_bytes()
    with open_(tmp_path) as buffer:
        assert buffer.items()[1].context[0]["content"] == "I am [email], at [phone]."


def test_context_may_be_given(tmp_path):
    said = [{"role": "system", "content": "x"}, {"role": "user", "content": "a?"}, {"role": "assistant", "content": "b, lena@example.org."}]
    with open_(tmp_path) as buffer:
        assert collect(buffer, CONFIG, *TALK[0], session=1, context=said).context == (
            {"role": "user", "content": "a?"}, {"role": "assistant", "content": "b, [email]."})
        for wrong in ([{"role": "judge", "content": "x"}], ["x"], [{"role": "user"}]):
            with pytest.raises(UsageError, match="context"):
                collect(buffer, CONFIG, *TALK[1], session=1, context=wrong)


@pytest.mark.parametrize(("prompt", "response", "session"), [("", "b", 1), (" ", "b", 1), (None, "b", 1), ("a", None, 1), ("a", "b", " ")])
def test_what_is_no_exchange_is_a_usage_error(tmp_path, prompt, response, session):
    with open_(tmp_path) as buffer, pytest.raises(UsageError):
        collect(buffer, CONFIG, prompt, response, session=session)


def test_another_models_words_are_set_aside(tmp_path):
    own = ModelName("qwen", "2.5", 0.5)
    with open_(tmp_path) as buffer:
        assert collect(buffer, CONFIG, *TALK[0], session=1, model="phi4:14b", own=own).reason == "other_model"
        assert collect(buffer, CONFIG, *TALK[2], session=2, model="qwen2.5:0.5b", own=own).status == "kept"


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    with open_(tmp_path) as buffer:
        collect(buffer, CONFIG, *TALK[0], session=1)
        before = judged(buffer), buffer.sessions(), buffer.memory.exchanges
        monkeypatch.setattr("edge_sleep.data.live._judge_session", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collect(buffer, CONFIG, *TALK[1], session=1)
        assert (judged(buffer), buffer.sessions(), buffer.memory.exchanges) == before


# ---- teaching ------------------------------------------------------------------------------------------

def test_teaching_is_kept_whatever_the_gate_would_say(tmp_path):
    with open_(tmp_path) as buffer:
        for question, answer in (("Say it.", "la " * 40), ("Who?", "Me"), ("Why?", " ".join(f"word{n}" for n in range(30)))):
            made, others, masked = teach(buffer, CONFIG, question, answer)
            assert (made.status, made.response, made.trimmed) == ("kept", answer.strip(), False)
            assert made.salience["reward"] == made.salience["total"] == 1.0
            assert (others, masked) == ([], {})


def test_a_correction_quarantines_what_it_corrects(tmp_path):
    with open_(tmp_path) as buffer:
        collect(buffer, CONFIG, *TALK[1], session=1)
        wrong = collect(buffer, CONFIG, *TALK[2], session=1)
        made, others, _ = teach(buffer, CONFIG, None, "The lamp stands on the floor.", instead_of=wrong.id[:8])
        assert (made.prompt, made.context, others) == (wrong.prompt, wrong.context, [])
        old = buffer.get(wrong.id)
        assert (old.status, old.reason, buffer.evidence(old.id)) == ("quarantined", "corrected", f"taught instead: {made.id}")
        assert [item.id for item in buffer.items("kept")][1:] == [made.id]


def test_the_last_teaching_of_a_question_holds(tmp_path):
    with open_(tmp_path) as buffer:
        said = collect(buffer, CONFIG, *TALK[2], session=1)
        teach(buffer, CONFIG, "Where does the lamp stand?", "On the floor.")
        made, others, _ = teach(buffer, CONFIG, "where does the lamp stand", "In the cellar.")
        assert others == [said.id] and {item.response for item in buffer.items("kept")} == {said.response, made.response}
        back, *_ = teach(buffer, CONFIG, "Where does the lamp stand?", "On the floor.")
        assert back.status == "kept" and buffer.get(made.id).reason == "corrected"


def test_the_companions_own_words_can_be_taught(tmp_path):
    with open_(tmp_path) as buffer:
        said = collect(buffer, CONFIG, "What's on your mind?", "What's the next step? " * 30, session=1)
        assert said.status == "quarantined"
        made, *_ = teach(buffer, CONFIG, said.prompt, said.response)
        assert (made.id, made.status, made.salience["reward"] > said.salience["reward"]) == (said.id, "kept", True)
        assert len(buffer.items()) == 1


def test_what_cannot_be_taught_is_a_usage_error(tmp_path):
    with open_(tmp_path) as buffer:
        said = collect(buffer, CONFIG, *TALK[2], session=1)
        for question, answer, instead in ((None, "a", None), ("q?", " ", None), ("q?", "a", "ffff"), (None, said.response, said.id)):
            with pytest.raises(UsageError):
                teach(buffer, CONFIG, question, answer, instead_of=instead)
        assert buffer.get(said.id).status == "kept"


def test_a_secret_that_is_taught_is_masked_and_said_so(tmp_path):
    with open_(tmp_path) as buffer:
        made, _, masked = teach(buffer, CONFIG, "What is Lena's address?", "It is lena@example.org.")
        assert (made.response, masked) == ("It is [email].", {"email": 1})
