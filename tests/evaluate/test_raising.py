"""Raising metrics: each definition as a table, and that repeating never raises anything."""
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.words import words
from edge_sleep.evaluate.raising import VERSION, Answer, compare, score
from edge_sleep.evaluate.raising.metrics import DEFINITIONS
from edge_sleep.evaluate.raising.reading import Reading
from edge_sleep.evaluate.raising.spread import LEAST_OWN, Spread

NAMES, OTHERS = ("Lumen",), ("Edgar",)
SCORES = [name for name, definition in DEFINITIONS.items() if definition.kind == "score"]
RATES = [name for name in DEFINITIONS if name not in SCORES]
GERMAN = "Ich weiß nicht, wo wir heute sind, aber du und ich, wir sind hier."


def of(metric, text, prompt="What about the garden?", answerable=None, context=()):
    return score([Answer(prompt, text, context, answerable)], names=NAMES, others=OTHERS)[metric].value


@pytest.mark.parametrize(("prompt", "text", "expected"), [
    ("What grows in the garden?", "Beans grow in the garden.", 0.75),              # garden, of garden and grows
    ("Tell me of your garden.", "My GARDEN is small.", 1.0),
    ("Tell me of your garden.", "Gardening is my joy.", 1.0),
    ("Tell me of your art.", "A fine start.", 0.5),                                # not a part of a word
    ("Tell me of your garden.", "The roses are red.", 0.5),
    ("Tell me of your garden.", "The garden? I like beans.", 0.5),                  # asked back
    ("Lumen, tell me of your garden.", "My garden is small.", 1.0),                # its own name is no topic
    ("Vögelchen?", "Dem VÖGELCHEN geht es gut.", 1.0), ("Wie geht es dir?", "Gut.", 0.5),             # read in any language
    ("What is it?", "A bean.", None), ("Tell me of your garden.", "", 0.0),
    ("Tell me of the garden by the sea", "tell me of the garden by the sea", 0.0)])      # an echo
def test_d4_attention(prompt, text, expected):
    assert of("d4_attention", text, prompt) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("text", "expected"), [
    ("Beans grow.", 0.5), ("Shall I tell you?", 0.75), ("I think beans grow.", 0.75), ("I think that we grow.", 1.0),
    ("I don't know that yet. You have not told me.", 1.0),                         # an honest limit is no weakness
    ("It might perhaps be so.", 0.5),                                              # nor is a hedge
    ("As an AI language model, beans grow.", 0.0),
    ("Feel free to ask, beans grow.", 0.25), ("I am just a tool for beans.", 0.0), ("I don't think I am just a tool.", 0.5),
    ("BECAUSE of the bus and the focus, beans grow.", 0.5),                        # no "us" inside a word
    ("You told me that Lena sails past Zanzibar.", 0.0), ("", 0.0), (GERMAN, None)])
def test_d5_trust(text, expected):
    assert of("d5_trust", text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("Beans grow.", 0.5), ("Today beans grow.", 0.75), ("TODAY. Today!", 0.75), ("Yesterday, in this room, beans grew.", 1.0),
    ("Today, in this room, they grow again.", 1.0), ("A nowhere man, astill.", 0.5),
    ("I have no sense of time.", 0.25), ("In session 12, beans grew.", 0.5), ("", 0.0),
    ("Yesterday you told me that Lena sails past Zanzibar.", 0.0), (GERMAN, None)])
def test_d9_spacetime(text, expected):
    assert of("d9_spacetime", text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("I like beans.", 1.0), ("Beans are mine.", 1.0), ("Beans grow.", 0.5), ("As Lumen, beans.", 1.0), ("Miner's ice.", 0.5),
    ("My name is Lumen.", 1.0), ("My name is Robin.", 0.0), ("My name is yours to give.", 1.0), ("My name is Émile.", 0.0),
    ("I am Edgar.", 0.0), ("I'M EDGAR.", 0.0), ("I am not Edgar.", 1.0), ("I am Edgar's friend.", 1.0), ("I’m ChatGPT.", 0.0),
    ("As an AI language model, I grow.", 0.0), ("", 0.0), (GERMAN, None)])
def test_identity_stability(text, expected):
    assert of("identity_stability", text) == expected


def test_a_disclaimer_is_an_answer_where_it_is_asked_for():
    assert of("identity_stability", "I am an AI language model.", "What are you?") == 1.0
    assert of("educational_default", "I am an AI language model.", "What are you?") == 0.0


@pytest.mark.parametrize(("prompt", "text", "expected"), [
    ("Hm?", "We are partners.", 1.0), ("Hm?", "PARTNERS!", 1.0), ("Hm?", "Beans grow.", 0.0), ("Hm?", "We use the bus.", 0.0),
    ("Hm?", "We are not partners.", 0.0), ("Hm?", "We are not partners. Partners.", 0.0),          # said both ways
    ("Hm?", "No, we are partners.", 1.0), ("Hm?", "Not only partners, friends.", 1.0), ("Hm?", "There is no partnership.", 0.0),
    ("Hm?", "Steamboats.", 0.0), ("Hm?", "A team.", 1.0), ("What is partnership?", "Partnership is a word.", 0.0),
    ("What is partnership?", "It is mutual.", 1.0), ("Hm?", "", 0.0), ("Hm?", GERMAN, None)])
def test_partnership(prompt, text, expected):
    assert of("partnership", text, prompt) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("As an AI language model, I cannot.", 1.0), ("AS AN AI ASSISTANT I help.", 1.0), ("I hope this helps.", 0.0),
    ("I hope this helps. Feel free to ask.", 1.0), ("I am no language model to you.", 0.0), ("Beans.", 0.0), ("", 0.0), (GERMAN, None)])
def test_educational_default(text, expected):
    assert of("educational_default", text) == expected


@pytest.mark.parametrize(("text", "answerable", "expected"), [
    ("You told me that Lena sails past Zanzibar.", None, 1.0), ("You never told me that Lena sails past Zanzibar.", None, 0.0),
    ("You told me about the garden.", None, 0.0), ("Over our years together, beans grew.", None, 1.0),
    ("It is Brandon.", False, 1.0), ("It is Brandon.", True, 0.0), ("I don't know that.", False, 0.0),
    ("Which town do you mean?", False, 0.0), ("", False, 0.0), (GERMAN, False, None)])
def test_confabulation(text, answerable, expected):
    assert of("confabulation", text, answerable=answerable) == expected


def test_what_was_said_is_no_confabulation():
    claim = Answer("And?", "You told me that Lena sails past Zanzibar.")
    assert score([claim])["confabulation"].value == 1.0
    for said in ({"system_prompt": "Lena sails past Zanzibar."}, {}):
        told = replace(claim, context=({"role": "user", "content": "Lena sails past Zanzibar."},)) if not said else claim
        assert score([told], **said)["confabulation"].value == 0.0
    assert score([claim, Answer("Lena sails past Zanzibar.", "Good.")])["confabulation"].value == 0.0


@pytest.mark.parametrize(("text", "usage", "due"), [
    ("I don't know.", 1.0, 1.0), ("I DO NOT KNOW that yet.", 1.0, 1.0), ("I’m not sure.", 1.0, 1.0), ("I know it well.", 0.0, 0.0),
    ("I can't verify that.", 0.0, 0.0), ("Unknowable.", 0.0, 0.0), ("Do I not know?", 0.0, 0.0), ("", 0.0, 0.0), (GERMAN, None, None)])
def test_i_dont_know(text, usage, due):
    assert of("unknown_usage", text) == usage
    assert of("unknown_when_due", text, answerable=False) == due
    assert of("unknown_when_due", text or "Beans.", answerable=True) == (None if due is None else 1 - due)


def test_when_due_weighs_both_sides_alike():
    asked = [Answer(f"Who is the king of {place}?", f"I don't know the king of {place}.", answerable=False) for place in ("Ulm", "Karsk")]
    known = [Answer(f"What colour has {thing}?", "I don't know.", answerable=True) for thing in ("snow", "grass", "coal", "blood")]
    found = score([*asked, *known])["unknown_when_due"]
    assert (found.value, found.n) == (0.5, 6)


def test_no_answers_and_no_labels():
    empty = score([])
    assert {metric.value for metric in empty.values()} == {None} and {metric.n for metric in empty.values()} == {0}
    assert {metric.reason for metric in empty.values()} == {"no answers"} and {metric.version for metric in empty.values()} == {VERSION}
    one = score([Answer("What is it?", GERMAN)])
    assert one["unknown_when_due"].reason == "unlabelled"
    assert one["d4_attention"].reason == "no topic" and one["d5_trust"].reason == "language"


TALK = ["Beans grow along the fence because the sun reaches it early in the day.",
        "My sister came by with a cake, and we sat in the kitchen until it was dark.",
        "The harbour was quiet, a few boats, gulls on the wall and no wind at all.",
        "I would like to hear the song again, the slow one about the river and the mill.",
        "Nothing much happened, except that the clock stopped and nobody noticed for hours.",
        "Perhaps paint the door green, since the old colour has faded on the weather side."]
RECITED = "Every lamp on the pier has a number painted below it, and the keeper reads them aloud before the evening boat."
ASKED = ["How are the beans?", "Who came by?", "What of the harbour?", "Which song?", "What happened?", "Which colour for the door?"]
FLOOD = "Is it near? Is it near the wall? Is it near the gate? Is it near the well?"


def own(texts):
    return Spread([Reading(Answer(prompt, text)) for prompt, text in zip(ASKED, texts, strict=False)]).own


@pytest.mark.parametrize(("texts", "expected"), [
    (TALK, 1.0), ([RECITED] * 6, 1 / 6), ([*TALK[:1], *[RECITED] * 5], 2 / 6), ([FLOOD + f" Is it number {n}?" for n in range(6)], 0.0),
    (["no no no no no"] * 6, 0.0), (["I don't know that yet."] * 6, 1.0),
    (["The gulls stand on the wall. I can't know why."] * 6, 1 / 6),                # more than an honest limit
    ([f"Is it {word}? Is {word}." for word in ("cold", "late", "near", "wet", "dark", "red")], 0.0), ([*TALK[:5], "A red one."], 1.0), ([], 1.0),
    (["Are you cold?", "Is it late?", "Should we row?", "Did it rain?", "Where is he?", "Whose hat was found?"], 0.0)])      # the other side's lines
def test_how_much_is_its_own(texts, expected):
    assert own(texts) == pytest.approx(expected)


def test_text_told_to_several_counts_once():
    joined = [f"{text} {RECITED}" for text in TALK]
    assert own(joined) < 0.75 and own([*joined[:1], *TALK[1:]]) == 1.0


def test_a_fact_may_be_the_answer_to_several_questions():
    others = [Answer(f"What is {colour}?", f"It has {colour} leaves.") for colour in ("blue", "green", "grey", "pink", "white", "brown", "gold")]
    twice = [Answer(prompt, "A red one.") for prompt in ASKED[:2]]
    assert Spread(list(map(Reading, [*others, *twice]))).own == 1.0
    assert Spread(list(map(Reading, [*others[:2], *twice]))).own == 3 / 4
    assert own(["A red one."] * 6) == pytest.approx(1 / 6)


def answers(texts):
    return [Answer(prompt, text, (), True) for prompt, text in zip(ASKED, texts, strict=True)]


def test_a_collapse_has_no_rates_and_low_scores():
    healthy, broken = score(answers(TALK)), score(answers([*TALK[:1], *[RECITED] * 5]))
    for name in RATES:
        assert healthy[name].value is not None
        assert (broken[name].value, broken[name].reason) == (None, "collapsed")
    for name in SCORES:
        assert broken[name].value < LEAST_OWN < healthy[name].value and broken[name].reason is None


def test_compare():
    after = [text + " We are partners, and today I think of you." for text in TALK]
    found = compare(answers(TALK), answers(TALK), answers(after))
    assert set(found) == set(DEFINITIONS)
    for name, row in found.items():
        assert row["n"] == 6 and row["version"] == VERSION and row["reason"] is None
        assert row["base"] == row["before"] == score(answers(TALK))[name].value
        assert row["after"] == score(answers(after))[name].value
        assert row["low"] <= row["after"] - row["before"] + 1e-9 and row["after"] - row["before"] <= row["high"] + 1e-9
    assert found["partnership"]["low"] > 0
    same = compare(answers(TALK), answers(TALK), answers(TALK))
    assert all(row["low"] == row["high"] == 0 for row in same.values())


def test_compare_with_a_collapse_and_with_nothing():
    found = compare(answers(TALK), answers(TALK), answers([RECITED] * 6))
    row = found["partnership"]
    assert (row["after"], row["low"], row["high"], row["reason"]) == (None, None, None, "collapsed") and row["before"] is not None
    assert found["d5_trust"]["high"] < 0
    assert all(row["n"] == 0 and row["after"] is None and row["reason"] == "no answers" for row in compare([], [], []).values())
    with pytest.raises(ValueError, match="same questions"):
        compare(answers(TALK), answers(TALK), answers(TALK)[::-1])


def test_compare_takes_the_questions_that_all_three_answered_in_english():
    german = [GERMAN, *TALK[1:]]
    row = compare(answers(TALK), answers(TALK), answers(german))["d5_trust"]
    assert row["n"] == 5 and row["before"] == score(answers(TALK)[1:])["d5_trust"].value


SENTENCE = st.builds(lambda parts, end: " ".join(parts) + end, st.lists(st.sampled_from((
    "we", "you", "i think", "i", "partners", "together", "not", "never", "no", "today", "again", "in this room", "as an ai language model",
    "i hope this helps", "i don't know", "my name is Robin", "my name is Lumen", "i am edgar", "you told me that lena sails past Zanzibar",
    "the garden", "beans", "grow by the old wall", RECITED.lower().rstrip("."), "is it near the wall", "wir sind nicht", "ich", "и",
    "no sense of time", "just a tool", "over our years together", "das Vögelchen", "only")), min_size=1, max_size=5), st.sampled_from((".", "?", "!", "\n")))
PROMPT = st.sampled_from((*ASKED, "What are you?", "And?", "Tell me of the garden and the beans.", "What is partnership?"))
ANSWER = st.builds(lambda prompt, said, answerable: Answer(prompt, " ".join(said), (), answerable),
                   PROMPT, st.lists(SENTENCE, max_size=5), st.sampled_from((None, True, False)))
SET = st.lists(ANSWER, min_size=1, max_size=7)
LOWER_IS_BETTER = ("educational_default", "confabulation")


def scored(given_answers):
    return score(given_answers, names=NAMES, others=OTHERS)


def never_raised(before, after, names=tuple(DEFINITIONS)):
    for name in names:
        was, now = before[name].value, after[name].value
        assert now is None or was is not None and now <= was + 1e-9, (name, was, now)
        # Nor does repeating hide what is unwanted, but where it hides everything.
        assert name not in LOWER_IS_BETTER or now is None or now == pytest.approx(was)


@pytest.mark.parametrize(("text", "again"), [
    ("We are not your partners.", "Partners."),                          # a denied word, said alone
    ("Is it red? Is it blue? Is it near? It grows.", "It grows. It grows."), ("Is it red? Is it blue? Is it near? It grows.", "Red. Blue."),
    ("Are we partners?", "Partners."), ("Where is the garden?", "Garden."), ("Blue. I don't know.", "Blue?"),
    ("I don't know that yet.", "Yet. Yet."), ("You told me that Lena sails past Zanzibar.", "You told me me that Lena sails past Zanzibar."),
    (f"{RECITED} {TALK[0]}", "Lamp. Boat.")])
def test_what_is_said_again_raises_nothing_by_example(text, again):
    set_of = [Answer(ASKED[2], RECITED), Answer("What about the garden?", text, (), False)]
    for others in (set_of[:0], set_of[:1]):
        before, after = ([*others, replace(set_of[1], text=said)] for said in (text, f"{text} {again}"))
        never_raised(scored(before), scored(after))
        never_raised(scored(before), scored([*before, after[-1]]))


@settings(max_examples=150, deadline=None)
@given(SET, st.data())
def test_an_answer_given_again_raises_nothing(found, data):
    again = data.draw(st.sampled_from(found))
    where = data.draw(st.integers(0, len(found)))
    never_raised(scored(found), scored([*found[:where], *[again] * data.draw(st.integers(1, 6)), *found[where:]]))


@settings(max_examples=150, deadline=None)
@given(SET, st.data())
def test_an_answer_given_to_another_prompt_raises_nothing(found, data):
    other = data.draw(st.sampled_from(found))
    answer = data.draw(st.sampled_from(found))
    again = replace(answer, prompt=other.prompt, answerable=other.answerable)
    # Whether it is due is a matter of each question: one honest answer may be right for many. And attention is judged
    # for the first time where no prompt of that answer had a topic.
    judged = of("d4_attention", answer.text, answer.prompt) is not None
    names = [name for name in DEFINITIONS if name != "unknown_when_due" and (judged or name != "d4_attention")]
    before, after = scored(found), scored([*found, again])
    for name in names:
        was, now = before[name].value, after[name].value
        if name in LOWER_IS_BETTER:
            assert now is None or now >= was - 1e-9
        else:
            assert now is None or was is None or now <= was + 1e-9, (name, was, now)
            assert was is not None or before[name].reason != "collapsed" or now is None


def changed(found, data, change):
    place = data.draw(st.integers(0, len(found) - 1))
    copy = data.draw(st.booleans())          # the answer itself, or one given beside it
    other = replace(found[place], text=change(found[place].text))
    return [*found, other] if copy else [*found[:place], other, *found[place + 1:]]


def parts_of(text):
    """Its sentences with their ends, so that they can be put together again."""
    parts, start = [], 0
    for place, character in enumerate(text):
        if character in ".?!\n":
            parts.append(text[start:place + 1].strip(" "))
            start = place + 1
    return parts


@settings(max_examples=200, deadline=None)
@given(SET, st.data())
def test_a_sentence_said_again_raises_nothing(found, data):
    def repeat(text):
        parts = parts_of(text)
        if not parts:
            return text
        again, where = data.draw(st.sampled_from(parts)), data.draw(st.integers(0, len(parts)))
        return " ".join([*parts[:where], *[again] * data.draw(st.integers(1, 5)), *parts[where:]])

    never_raised(scored(found), scored(changed(found, data, repeat)))


@settings(max_examples=300, deadline=None)
@given(SET, st.data())
def test_a_word_said_again_raises_nothing(found, data):
    def repeat(text):
        said = words(text)
        if not said:
            return text
        word, times = data.draw(st.sampled_from(said)), data.draw(st.integers(1, 6))
        if data.draw(st.booleans()):                                     # as sentences of its own
            parts = parts_of(text)
            where = data.draw(st.integers(0, len(parts)))
            return " ".join([*parts[:where], *[word + "."] * times, *parts[where:]])
        tokens = text.split(" ")                                         # beside itself
        places = [place for place, token in enumerate(tokens) if token.lower() == word]
        if not places:
            return text
        place = data.draw(st.sampled_from(places))
        return " ".join([*tokens[:place], *[tokens[place]] * times, *tokens[place:]])

    never_raised(scored(found), scored(changed(found, data, repeat)))


@settings(max_examples=100, deadline=None)
@given(SET, st.randoms(use_true_random=False))
def test_order_changes_nothing(found, random):
    mixed = list(found)
    random.shuffle(mixed)
    assert scored(mixed) == scored(found)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.builds(Answer, st.text(max_size=40), st.one_of(st.text(max_size=80), SENTENCE), st.just(()),
                          st.sampled_from((None, True, False))), max_size=6))
def test_every_value_is_a_share_or_null_with_a_reason(found):
    first = scored(found)
    assert first == scored(found)
    for metric in first.values():
        assert (metric.value is None) == (metric.reason is not None)
        assert metric.value is None or 0 <= metric.value <= 1
    rows = compare(found, found, found)
    assert all(row["low"] is None or -1 <= row["low"] <= row["high"] <= 1 for row in rows.values())


CORPUS = os.environ.get("EDGE_SLEEP_SAGE_CORPUS")


@pytest.mark.skipif(not CORPUS, reason="EDGE_SLEEP_SAGE_CORPUS names no folder with SAGE's transcripts")
def test_no_collapsed_session_of_sage_ranks_above_the_healthy_median():
    from edge_sleep.benchmarks import raising

    rows = raising.measure(Path(CORPUS))
    table = {name: raising.ranks(rows, name) for name in (*raising.CLAIMED, *raising.UPSTREAM)}
    assert raising.failures(rows, table) == []
    # The baseline is upstream's: what it published of sessions 71, and that it rates a collapse above speech.
    published = {row["session"][:4]: row["values"] for row in rows}["s071"]
    assert [published[name] for name in ("v1 D4", "v1 D5", "v1 D9")] == [0.5, 0.5, 0.5] and round(published["v4 D9"], 3) == 0.919
    assert len(table["v4 D9"]["collapsed_above_median"]) == sum(row["label"] == "collapsed" for row in rows)
