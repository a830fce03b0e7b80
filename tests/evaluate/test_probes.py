import pytest

from edge_sleep.config import Gate
from edge_sleep.data.augment.moves import MOVES
from edge_sleep.data.augment.rewording import probe_rewordings, reworded
from edge_sleep.data.experience import Experience
from edge_sleep.data.words import near, topic
from edge_sleep.errors import ConfigError
from edge_sleep.evaluate import probes
from edge_sleep.evaluate.exam import compose
from edge_sleep.evaluate.judge import interleave
from edge_sleep.evaluate.marking import Asked, right_by_origin


def experience(prompt, response, identity="e1"):
    return Experience(identity, prompt, response, "s1", {"total": 0.5})


def test_recall_probes_ask_in_other_words_than_any_that_is_trained():
    taught = [experience("What is the name of the boat?", "The boat is called Heron."),
              experience("Where does the lamp stand?", "On the shelf beside the radio.", "e2")]
    made = probes.of_experiences(taught, probe_rewordings, per_experience=3)
    trained = {text.lower() for item in taught for text in [item.prompt, *(wording.text for wording in reworded(item.prompt, 60, 0, tuple(MOVES)))]}
    assert len(made) == 6
    assert not {probe.messages[0]["content"].lower() for probe in made} & trained
    assert made[0].words == ("heron",)


def test_a_question_taught_with_two_answers_is_not_asked():
    taught = [experience("Who feeds the cat?", "Maria does."), experience("Who feeds the cat?", "Jonas does.", "e2")]
    assert probes.of_experiences(taught, probe_rewordings) == []


def test_an_answer_that_adds_nothing_is_not_asked():
    assert probes.of_experiences([experience("Is the cat in the house?", "The cat is in the house.")], probe_rewordings) == []


def test_the_owners_probes(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("probes:\n- {question: 'Who am I?', expect: Mira}\n- {question: 'How old?', expect: [7, seven]}\n"
                    "- {question: 'Two and two?', expect: [four], kind: retention}\n")
    made = probes.of_user([file])
    assert [(probe.kind, probe.expect) for probe in made] == [("recall", ("Mira",)), ("recall", ("7", "seven")), ("retention", ("four",))]


def test_every_bad_probe_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("probes:\n- {question: 'Who am I?'}\n- 7\n- {question: a, expect: b, kind: praise}\n")
    with pytest.raises(ConfigError) as caught:
        probes.of_user([file])
    assert len(caught.value.problems) == 3


def test_select_and_confirm_are_disjoint_and_redrawn_each_night(tmp_path):
    taught = [experience(f"What is in box {number}?", f"A {word} and a key.", f"e{number}")
              for number, word in enumerate(["lamp", "hammer", "violin", "teapot", "globe", "kite", "drum", "anchor"])]
    nights = [compose(taught, base_folder=tmp_path, settings=Gate(), salt=salt, reword=probe_rewordings) for salt in ("a", "b")]
    for select, confirm in nights:
        assert confirm
        assert not {probe.id for probe in select} & {probe.id for probe in confirm}
    assert {probe.id for probe in nights[0][1]} != {probe.id for probe in nights[1][1]}


def test_tonights_own_questions_reach_the_gate_however_small_the_night(tmp_path):
    for n, of_gate in ((1, 1), (2, 2), (4, 3), (40, 24)):
        taught = [experience(f"What is in box {number}?", f"Item {number}.", f"e{number}") for number in range(n)]
        select, confirm = compose(taught, base_folder=tmp_path, settings=Gate(), salt="a", reword=probe_rewordings)
        own = [probe for probe in confirm if probe.kind == "own"]
        assert len(own) == of_gate
        assert all(probe.taught for probe in own)
        assert not {probe.id for probe in select} & {probe.id for probe in confirm}


def test_recall_beyond_what_the_gate_asks_serves_the_choice(tmp_path):
    taught = [experience(f"What is in the {word} box?", f"A {word}er and a key.", word) for word in ("lamp", "kite", "drum", "harp", "bell", "rope")]
    select, confirm = compose(taught, base_folder=tmp_path, settings=Gate(recall_probes=2), salt="a", reword=probe_rewordings)
    about = [{probe.origin for probe in side if probe.kind == "recall"} for side in (select, confirm)]
    assert len(about[0]) >= 4 and len(about[0] | about[1]) == 6 and not about[0] & about[1]
    wordings = [sum(probe.kind == "recall" for probe in side) for side in (select, confirm)]
    assert wordings == [4 * len(about[0]), len(about[1])], "each in several wordings where it only helps to choose"


def test_what_was_taught_is_not_expected_to_be_unknown():
    taught = [topic("How many people live in the village of Tressink?")]
    assert near("In the village of Tressink, how many people live?", taught)
    assert not near("How many people live in the village of Marrow?", taught)
    assert not near("What is the name of the mayor's horse?", taught)


def test_running_out_of_time_costs_every_kind_alike():
    made = [probes.Probe(f"{kind}{number}", kind, ()) for kind, n in (("recall", 6), ("retention", 3)) for number in range(n)]
    first = [probe.kind for probe in interleave(made)[:6]]
    assert first.count("recall") == 4
    assert first.count("retention") == 2


def test_wordings_of_one_experience_are_one_thing_to_a_choice():
    made = [probes.Probe(f"p{number}", "recall", (), words=("x",), origin=origin) for number, origin in enumerate("aab")]
    asked = [Asked(probe, {}, {"after": right}, {}) for probe, right in zip(made, (True, False, True), strict=True)]
    assert right_by_origin(asked, "recall") == [0.5, 1.0] and right_by_origin(asked, "retention") == []
