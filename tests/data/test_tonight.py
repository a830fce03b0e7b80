"""Tonight's lesson, epoch by epoch: everything new once, in turn in other words, among fresh rehearsals."""
import json
from collections import Counter
from dataclasses import replace

import pytest

from edge_sleep import config
from edge_sleep.data.augment.rewording import Wording
from edge_sleep.data.experience import Experience
from edge_sleep.data.tonight import compose, rehearsable, sound, tellings

NAMES = ("teacher", "uncle", "doctor", "sister", "neighbour", "pupil")


def experience(number, night=None, salience=0.5):
    who = NAMES[number % len(NAMES)]
    return Experience(f"e{number}", f"What is my {who}'s favourite drink number {number}?", f"Your {who} likes drink {number}.",
                      "s", {"total": salience}, trained_in=(night,) if night else ())


@pytest.fixture
def base(tmp_path):
    lines = [{"messages": [{"role": "user", "content": f"What is my {who}'s favourite food?"},
                           {"role": "assistant", "content": "I don't know that yet."}], "kind": "unknown"} for who in NAMES]
    lines += [{"messages": [{"role": "user", "content": f"Name the number after {number}."},
                            {"role": "assistant", "content": f"It is {number + 1}."}], "kind": "instruction"} for number in range(60)]
    (tmp_path / "edge_sleep").mkdir()
    (tmp_path / "edge_sleep" / "replay.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


SETTINGS = config.load(None, ["train.epochs=4", "replay.share=0.5", "replay.least=0", "replay.earlier=0.5", "data.augment=3"])


def lesson(base, new, earlier=(), settings=SETTINGS, parent=None):
    return compose(new, earlier, settings, base_folder=base, parent=parent)


def test_every_epoch_sees_every_new_experience_once_in_other_words(base):
    new = [experience(number) for number in range(6)]
    made = lesson(base, new)
    for epoch in range(4):
        assert sorted(item.source for item in made if item.epoch == epoch and item.origin == "new") == [f"e{n}" for n in range(6)]
    asked = {item.messages[0]["content"] for item in made if item.source == "e0"}
    assert len(asked) == 4
    assert {item.messages[1]["content"] for item in made if item.source == "e0"} == {new[0].response}, "answers are never reworded"


def test_shares_hold_in_every_epoch(base):
    new = [experience(number) for number in range(10)]
    earlier = [experience(number + 10, night="n1") for number in range(5)] + [experience(number + 20, night="n2") for number in range(5)]
    made = lesson(base, new, earlier)
    for epoch in range(4):
        assert Counter(item.origin for item in made if item.epoch == epoch) == {"new": 10, "earlier": 5, "replay": 5}
    assert len({item.source for item in made if item.origin == "earlier"}) > 5, "other epochs rehearse other memories"


def test_salience_moves_attention_and_not_the_learning_rate(base):
    made = lesson(base, [experience(0, salience=0.9), experience(1, salience=0.3)])
    weights = {item.source: item.weight for item in made if item.origin == "new"}
    assert weights["e0"] == pytest.approx(3 * weights["e1"])
    assert sum(weights.values()) == pytest.approx(2)


def test_the_same_night_again_is_the_same_and_another_night_is_not(base):
    new = [experience(number) for number in range(6)]
    assert lesson(base, new) == lesson(base, new)
    assert [item.source for item in lesson(base, new)] != [item.source for item in lesson(base, new, parent="aaaa")]


def test_not_knowing_what_was_taught_is_not_rehearsed_and_not_knowing_its_neighbour_is(base):
    taught = [Experience("e", "Tell me my teacher's favourite food.", "It is stew.", "s", {"total": 0.5})]
    asked = {item.messages[0]["content"] for item in rehearsable(base, taught) if item.kind == "unknown"}
    assert "What is my teacher's favourite food?" not in asked
    assert "What is my uncle's favourite food?" in asked


def in_a_talk(number, prompt=None):
    item = experience(number)
    return replace(item, prompt=prompt or item.prompt, context=({"role": "user", "content": f"Hello {number}."},
                                                                {"role": "assistant", "content": "Hello! What is it?"}))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_epochs_in_context(base, share):
    settings = config.load(None, ["train.epochs=4", "data.augment=3", f"data.context={share}"])
    new = [in_a_talk(number) for number in range(40)]
    made = [item for item in lesson(base, new, settings=settings) if item.origin == "new"]
    within = [item for item in made if len(item.messages) == 4]
    assert len(within) == pytest.approx(share * 160) and len(made) == 160
    for item in within:
        number = item.source[1:]
        assert item.messages[0]["content"] == f"Hello {number}." and item.messages[2]["content"] == new[int(number)].prompt
        assert item.move is None, "in its conversation a question is asked as it was"
    for source in ("e0", "e7"):
        alone = [item for item in made if item.source == source and len(item.messages) == 2]
        assert len({item.messages[0]["content"] for item in alone}) == len(alone) == 4 - round(4 * share)


def test_without_context_the_lesson_is_what_it_was(base):
    new, plain = [in_a_talk(number) for number in range(6)], [experience(number) for number in range(6)]
    settings = config.load(None, ["train.epochs=4", "data.augment=3", "data.context=0"])
    assert lesson(base, new, settings=settings) == lesson(base, plain, settings=settings)


def test_a_prompt_that_means_nothing_alone_is_always_in_its_conversation(base):
    settings = config.load(None, ["train.epochs=4", "data.context=0.25"])
    made = lesson(base, [in_a_talk(0, prompt="And who is she?"), *(experience(number) for number in range(1, 4))], settings=settings)
    assert all(len(item.messages) == 4 for item in made if item.source == "e0")


def test_earlier_lessons_keep_their_conversation(base):
    settings = config.load(None, ["train.epochs=4", "replay.share=0.5", "replay.earlier=1", "data.context=1"])
    made = lesson(base, [experience(0)], [replace(in_a_talk(1), trained_in=("n1",))], settings=settings)
    assert all(len(item.messages) == 4 for item in made if item.origin == "earlier") and any(
        item.origin == "earlier" for item in made)


def test_moves_are_on_record_and_no_exchange_is_taught_twice(base):
    twin = [Experience("a", "Where is it?", "On the shelf.", "s", {"total": 0.5}),
            Experience("b", "where is it", "On the shelf.", "s", {"total": 0.5})]
    ways = tellings(twin, 40, 1, {"a": [Wording("In what place is it?", "self")]}, ["situation"])
    everything = [(way.prompt, way.response) for kept in ways.values() for way in kept]
    assert len(everything) == len(set(everything))
    assert [way.move for way in ways["a"][:2]] == [None, "self"] and ways["b"][0].move is None
    assert {"frame", "situation"} <= {way.move for way in ways["a"]}


def test_a_puzzle_is_transformed_on_both_sides_and_never_reworded(base):
    grid, answer = "[[1, 0], [0, 2]]", "[[0, 1], [2, 0]]"
    puzzle = Experience("p", f"What comes out?\n{grid}", answer, "s", {"total": 0.5})
    made = [item for item in lesson(base, [puzzle]) if item.source == "p"]
    assert len({item.messages[1]["content"] for item in made}) > 1
    assert all(item.messages[0]["content"].startswith("What comes out?\n[[") for item in made)
    assert all(item.move is None or item.move.startswith("puzzle:") for item in made)


def test_no_answer_is_learned_behind_a_collapse():
    good = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Well, thank you."}]
    loop = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "What is next? " * 30}]
    lost = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "[GENERATION FAILED - out of memory]"}]
    for bad in (loop, lost):
        assert sound([*good, *bad, *good, *good], SETTINGS.quality) == (*good, *good)
        assert sound([*good, *bad], SETTINGS.quality) == ()
    assert sound([*good, *loop], SETTINGS.quality.model_copy(update={"enabled": False})) == (*good, *loop)
