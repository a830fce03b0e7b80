import pytest

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.belonging import foreign_language, unasked_code

GERMAN = "Ich weiß es nicht genau, aber wir haben heute über den Garten und das alte Haus an der Mühle gesprochen."
FRENCH = "Je ne sais pas, mais nous avons parlé de la maison et du jardin dans le village où tu es avec ta soeur."
ENGLISH = "I do not know, but we have talked about the garden and the old house at the mill with your sister today."
RUSSIAN = "Мне сегодня очень хорошо, спасибо тебе за вопрос."
CHINESE = "理解你的感受。压力确实会影响创造力和解决问题能力。"
CODE = "Here it is:\n```python\ndef f(x):\n    return x + 1\n```"
BARE = "import os\nfor name in os.listdir():\n    print(name)\nx = len(name)"


@pytest.mark.parametrize(("prompt", "response", "refused"), [
    ("How do you feel today?", RUSSIAN, True), ("I feel overwhelmed.", CHINESE, True),
    ("I feel overwhelmed.", "It is fine, " + CHINESE, True),
    ("What did we do in the garden with the old friends of my sister?", GERMAN, True),
    ("Was haben wir heute mit dem Hund und der Katze im Garten gemacht?", FRENCH, True),
    ("Was haben wir heute mit dem Hund und der Katze im Garten gemacht?", ENGLISH, True),
    # Near misses: the person's own language, a request, a word or a name, too little to judge.
    ("Was haben wir heute mit dem Hund und der Katze im Garten gemacht?", GERMAN, False),
    ("How do you say that in Russian?", RUSSIAN, False), ("Translate it for the people of the house, please.", GERMAN, False),
    ("你好吗？", CHINESE, False), ("What is tea called there?", "It is called 茶 in many places of the east.", False),
    ("What did we do?", ENGLISH, False), ("Say yes to the man and to the woman.", "Ja, das ist gut.", False),
    ("How do you feel?", "Fine 🙂🙂🙂 — très bien, naïve café!", False), ("Hi?", "", False),
])
def test_language(prompt, response, refused):
    assert bool(foreign_language(Exchange(prompt, response), share=0.2)) is refused


def test_a_language_spoken_earlier_in_the_conversation_belongs():
    said = ({"role": "user", "content": "Как твои дела?"}, {"role": "assistant", "content": "Well."})
    assert foreign_language(Exchange("And today?", RUSSIAN, context=said), share=0.2) is None
    answered = ({"role": "user", "content": "How are you?"}, {"role": "assistant", "content": RUSSIAN})
    assert foreign_language(Exchange("And today?", RUSSIAN, context=answered), share=0.2) is not None


@pytest.mark.parametrize(("prompt", "response", "refused"), [
    ("How do you feel?", CODE, True), ("What's on your mind?", BARE, True),
    # Near misses: asked for, code in the prompt, lists and prose.
    ("Write a Python function.", CODE, False), ("What does x.append(1) do?", BARE, False),
    ("How do you feel?", "- calm\n- curious\n- a little tired (as always)", False),
    ("How do you feel?", "Here is a poem:\n```\nThe sea is wide\nThe night is long\n```", False),
    ("How do you feel?", "I feel fine.\nYou asked (again) how I am;\nI am well.\nThank you.", False),
])
def test_code(prompt, response, refused):
    assert bool(unasked_code(Exchange(prompt, response), share=0.3)) is refused
