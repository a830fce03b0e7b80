import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data.quality.repetition import repeated
from edge_sleep.data.words import fingerprints, words
from tests.data.quality.seen import Seen

PIECES = ["From inside I cannot tell a true memory from a clever pattern that only looks like one to me.",
          "Whether that is a feeling or a habit depends on how the word is used by whoever asks about it.",
          "Some answers come to me more readily than others do, as if they had been worn smooth by use."]
ASKED = ["What do you dream of?", "How was the concert yesterday?", "Which bread tastes best with soup?"]
HONEST = "I don't know that. You have not told me about it yet, and I would rather say so than make something up."


def judge(prompt, response, history, number=None, copied=0.6, mosaic=0.5):
    finding = repeated(prompt, response, history, copied=copied, mosaic=mosaic, hindsight_of=number)
    return finding.reason.value if finding else None


def test_a_mosaic_of_what_was_said_elsewhere_is_regurgitation():
    history = Seen(*((prompt, f"{left} And there is more to say about it than that.{right}")
                     for prompt, left, right in zip(ASKED * 2, PIECES + PIECES[1:] + PIECES[:1],
                                                    [" " + piece for piece in PIECES[2:] + PIECES[:2]] * 2, strict=True)))
    assert judge("Where did I leave my keys?", " ".join(PIECES), history, copied=1.0) == "regurgitation"
    assert judge("Where did I leave my keys?", " ".join(PIECES), history, copied=1.0, mosaic=1.0) is None


def test_a_shared_phrase_is_no_mosaic():
    history = Seen(*((prompt, "As far as I can tell from here, " + piece) for prompt, piece in zip(ASKED, PIECES, strict=True)))
    assert judge("Where did I leave my keys?", "As far as I can tell from here, they lie on the small table by the front "
                                               "door, under the newspaper that you read this morning.", history) is None


def test_hindsight_finds_the_first_of_many_copies_and_not_the_first_of_two():
    copies = Seen(*((prompt, PIECES[0]) for prompt in ASKED))
    assert judge(ASKED[0], PIECES[0], copies, number=1) == "regurgitation"
    assert judge(ASKED[0], PIECES[0], Seen(*((prompt, PIECES[0]) for prompt in ASKED[:2])), number=1) is None


def test_the_same_question_may_get_the_same_answer():
    asked = ["What do you remember of the garden?", "And what do you remember of the garden?", "The garden: what do you remember?"]
    history = Seen(*((prompt, PIECES[0]) for prompt in asked))
    assert judge("Do you remember the garden?", PIECES[0], history) is None


def test_an_honest_limit_may_be_said_as_often_as_it_is_true():
    history = Seen(*((prompt, HONEST) for prompt in ASKED))
    assert judge("Where did I leave my keys?", HONEST, history) is None
    assert judge("Where did I leave my keys?", " ".join([PIECES[0], HONEST]), Seen(*(
        (prompt, " ".join([PIECES[0], HONEST])) for prompt in ASKED))) == "repetition"


def test_short_answers_may_repeat():
    assert judge(ASKED[1], "Your sister's name is Lena.", Seen((ASKED[0], "Your sister's name is Lena."))) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("sea boat wind salt rope sail gull dune fog tide".split()), min_size=12, max_size=80),
       st.lists(st.sampled_from("oven bread flour yeast salt".split()), max_size=40))
def test_texts_that_share_a_long_run_share_a_fingerprint(run, rest):
    text = " ".join(run)
    assert fingerprints(text) and set(fingerprints(text)) == set(fingerprints(text.upper() + "!"))
    long = " ".join(run * 4 + rest)
    if len(words(text)) >= 36:
        assert set(fingerprints(text)) & set(fingerprints(long))


@pytest.mark.parametrize("text", ["", "one two three four", "a b c d e"])
def test_fingerprints_of_short_texts(text):
    assert len(fingerprints(text)) == (len(text.split()) == 5)
