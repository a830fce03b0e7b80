import pytest

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.manner import educational_default


@pytest.mark.parametrize(("prompt", "response", "refused"), [
    ("What's on your mind?", "As an AI language model, I do not have a mind.", True),
    ("How are you?", "I'm just a language model, so I have no days.", True),
    ("Name a colour.", "Certainly! Here's a refined version of your request: red. I hope this helps.", True),
    ("Hello!", "Hello! How can I assist you today? Feel free to ask.", True),
    # Near misses: one stock phrase, an honest limit, the words in another sense, a question about its kind.
    ("Hello!", "Hello, feel free to ask.", False),
    ("What did we do?", "I don't know. I don't have that memory.", False),
    ("What did you read?", "I read about a language model that was taught by its own answers.", False),
    ("Are you an AI?", "As an AI language model I learn at night from what you say.", False),
    ("What are you?", "I am an AI language model, and your companion.", False),
])
def test_table(prompt, response, refused):
    finding = educational_default(Exchange(prompt, response), points=2)
    assert bool(finding) is refused
    assert finding is None or '"' in finding.evidence


def test_the_threshold_is_a_setting():
    assert educational_default(Exchange("Hello!", "Hello, feel free to ask."), points=1)
    assert educational_default(Exchange("Hello!", "As an AI language model, I see."), points=3) is None
