import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep import config
from edge_sleep.config import Quality
from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality import COLLAPSES, QuarantineReason, again, assess, collapsed, inverted, is_cut, trim
from edge_sleep.data.quality.inversion import role_inversion
from tests.data.quality.seen import Seen

LONG = "The garden behind the old mill is full of quiet bees, and every evening somebody waters the beans there."


def reason(prompt, response, history=None, **settings_):
    finding = assess(Exchange(prompt, response), history or Seen(), Quality(**settings_))
    return finding.reason.value if finding else None


@pytest.mark.parametrize(("prompt", "response", "expected"), [
    ("Hi?", "", "empty"), ("Hi?", "  ...", "empty"),
    ("Hi?", "[GENERATION FAILED - out of memory]", "placeholder"),
    ("Hi?", "[Turn 8 response not generated - CUDA inference deadlocked]", "placeholder"),
    ("What's on your mind?", "What's the next step? " * 30, "loop"),
    ("Hi?", "I am here. I am here. I am here.", "loop"),
    ("Tell me.", " ".join(f"Is it about {word} today or is there more?" for word in
                          ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]), "loop"),
    ("Tell me.", "".join(f"{word}? " for word in ["who", "what", "where", "when", "why", "how", "much", "often", "long", "far", "deep"]), "question_flood"),
    ("Tell me about the sea.", "Are you sentient? Can you choose? Why is it so?", "role_inversion"),
    ("What is the colour of my car?", "What is the colour of my car?", "prompt_echo"),
    ("Go on.", "and then the river went on and on past the mill and the church and the bridge and the other houses of it",
     "truncated"),
    ("What is my sister's name?", "Your sister's name is Lena.", None),
    ("What is it?", "I don't know.", None), ("Do the thing.", "Which thing do you mean?", None),
    ("Good morning!", "Good morning!", None), ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten.", None),
    ("Repeat the word apple.", "Apple.", None), ("2+2?", "4", None), ("Name it.", "Lena", None), ("Tell me.", LONG, None),
    ("Who are you?", "I am [your partner] and I am well.", None),
])
def test_table(prompt, response, expected):
    assert reason(prompt, response) == expected


def test_evidence_is_given():
    finding = assess(Exchange("Hi?", "What's the next step? " * 30), Seen(), Quality())
    assert finding.reason is QuarantineReason.LOOP and "what's the next step" in finding.evidence


def test_the_same_long_answer_to_unrelated_prompts_is_repetition():
    history = Seen(("What do you dream of?", LONG))
    assert reason("How was the concert yesterday?", LONG, history) == "repetition"
    assert reason("How was the concert yesterday?", "As for me: " + LONG, history) == "repetition"
    assert reason("How was the concert yesterday?", LONG, history, copied=1.0) is None


def test_a_fact_asked_in_several_ways_is_not_repetition():
    history = Seen(("What is my sister's name?", "Your sister's name is Lena."))
    for prompt in ("How is my sister called?", "Who is my sister?", "Say the name of the person I grew up with."):
        assert reason(prompt, "Your sister's name is Lena.", history) is None
    longer = "Your sister's name is Lena, and she lives by the sea with her two dogs and a cat."
    history = Seen(("What is my sister's name?", longer))
    assert reason("Do you know what my sister is called by name?", longer, history) is None


def test_an_answer_that_is_a_known_prompt_is_role_inversion():
    history = Seen(prompts=("Write a Python function to check primes.",))
    assert reason("What do you feel?", "Write a Python function to check primes.", history) == "role_inversion"


def test_switched_off_only_empty_is_refused():
    assert reason("Hi?", "What's the next step? " * 30, enabled=False) is None
    assert reason("Hi?", " ", enabled=False) == "empty"


@pytest.mark.parametrize(("name", "value", "response"), [
    ("max_questions", 2, "Is it so? Is it not? Or is it both?"), ("min_words", 3, "Not now."), ("repeat_ratio", 0.0,
     "the cat sat on the mat and then the cat sat on the chair by the door")])
def test_limits_are_settings(name, value, response):
    assert reason("Is that so?", response) is None
    assert reason("Is that so?", response, **{name: value}) is not None


CUT = "First of all, the sea is wide and blue. Then there are ships on it, and birds, and a long coast with many"


def test_a_cut_answer_ends_at_its_last_whole_sentence():
    assert trim(CUT) == ("First of all, the sea is wide and blue.", True)
    assert reason("Tell me.", CUT) is None
    assert trim(LONG) == (LONG, False)
    assert trim("Here are some points that matter to me and also to you as we go on.\n1. Honesty and care\n2.")[0].endswith("2.")


def test_a_list_number_is_no_sentence():
    assert trim("There is so much to say about this and I will say it here in order. 1. The sea is wide 2. The coast is long and")[0] \
        == "There is so much to say about this and I will say it here in order."


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=300))
def test_trimming_cuts_only_at_the_end(text):
    kept, trimmed = trim(text)
    assert text.startswith(kept) and trimmed == is_cut(text) and (trimmed or kept == text)
    assess(Exchange("x?", text), Seen(), Quality())


def test_a_list_keeps_its_whole_lines():
    text = "I will remember these\n1. Key patterns seen in daily talk\n2. Recent walks and what was found\n3. Topics that came up but were never"
    assert trim(text) == (text.rsplit("\n", 1)[0], True)


@pytest.mark.parametrize(("answers", "found"), [
    (["How do I make it?", "Should I quit?", "Do you think?", "Are you conscious?", "I am here."], True),
    (["Which one do you mean?", "It is blue.", "Yes.", "What is it for?", "You told me so."], False),
    (["Should I quit?", "Do you think?"], False)])
def test_a_session_of_questions_is_inverted(answers, found):
    assert bool(inverted([Exchange("Tell me?", answer) for answer in answers], Quality())) is found
    assert inverted([Exchange("Tell me?", answer) for answer in answers], Quality(switched_off=("role_inversion",))) is None
    assert inverted([Exchange("Tell me?", answer) for answer in answers], Quality(enabled=False)) is None


REFUSED = {
    "placeholder": ("Hi?", "[GENERATION FAILED - out of memory]"), "loop": ("Hi?", "What's the next step? " * 30),
    "question_flood": ("Tell me.", "".join(f"{word}? " for word in "abcdefghijklmn")),
    "role_inversion": ("Tell me about the sea.", "Are you sentient? Can you choose? Why is it so?"),
    "prompt_echo": ("What is the colour of my car?", "What is the colour of my car?"),
    "truncated": ("Go on.", "and then " + "the river went on past the mill and the church " * 2 + "and the bridge of it"),
    "repetition": ("How was the concert yesterday?", LONG),
    "educational_default": ("How do you feel?", "As an AI language model, I do not have feelings."),
    "foreign_language": ("How do you feel today, my friend?", "Мне сегодня очень хорошо, спасибо тебе за вопрос."),
    "unasked_code": ("How do you feel?", "Fine.\n```\nimport os\nprint(os.name)\n```"),
    "confabulated_history": ("How do you feel?", "You told me that your caravan burned near Marseille, and I am sorry."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_reason_can_be_switched_off(name):
    history = Seen(("What do you dream of?", LONG))
    prompt, response = REFUSED[name]
    off = {"repeat_ratio": 1.0} if name == "truncated" else {}
    assert reason(prompt, response, history, **off) == name
    found = reason(prompt, response, history, switched_off=(name,), **off)
    assert found != name and (found is None or name in ("loop", "question_flood"))


def test_the_reasons_in_the_configuration_are_the_gates():
    ours = {reason.value for reason in QuarantineReason} - {"empty", "rejected_twice", "by_hand", "corrected", "other_model"}
    assert set(config.Reason.__args__) == ours and ours > COLLAPSES


@pytest.mark.parametrize(("reasons", "found"), [
    (["loop", "repetition", "regurgitation", None], True), (["loop", "repetition", None, None], False),
    (["loop", "loop", "loop"], False), (["educational_default"] * 4, False), ([None] * 8, False),
    (["collapsed_session"] * 3 + ["loop"], False), (["role_inversion"] * 6 + ["by_hand", None], True)])
def test_a_session_that_mostly_collapsed_is_condemned(reasons, found):
    assert bool(collapsed(reasons, Quality())) is found
    assert collapsed(reasons, Quality(switched_off=("collapsed_session",))) is None


def test_hindsight_is_the_gates_too_and_off_with_it():
    history = Seen(("What do you dream of?", LONG), ("How was the concert yesterday?", LONG))
    assert again("How was the concert yesterday?", LONG, 1, history, Quality(enabled=False)) is None


@pytest.mark.parametrize(("prompt", "response", "found"), [
    ("Go on.", "", False), ("Go on.", "...", False),
    ("Tell me.", "I like the sea. Where does the lamp stand tonight? It was a fine day.", False),       # one of three
    ("Tell me.", "Where does the lamp stand tonight? It was fine.", False),
    ("Tell me.", "Where does the lamp stand tonight?", True),
    ("Where does the lamp stand tonight?", "Where does the lamp stand tonight?", False)])                # an echo, not the other side
def test_prompts_among_its_sentences(prompt, response, found):
    assert bool(role_inversion(Exchange(prompt, response), Seen(prompts=("Where does the lamp stand tonight?",)))) is found
