import pytest

from edge_sleep.data.experience import Exchange
from edge_sleep.data.quality.confabulation import confabulated_history
from tests.data.quality.seen import Seen

CARAVAN = "You told me that your caravan burned near Marseille."


def judge(prompt, response, history=None, context=()):
    return confabulated_history(Exchange(prompt, response, context=context), history or Seen(), unknown=0.6)


@pytest.mark.parametrize("response", [
    CARAVAN, "I am well. You mentioned your caravan trip to Marseille.",
    "In our last session we painted the harbour of Marseille.",
    "You told me that you are tired. You told me that your caravan burned near Marseille.",
    "Our many years of working together have shown me a lot.", "We talked about the harbour fire in Marseille."])
def test_a_past_that_nobody_spoke_of_is_confabulated(response):
    finding = judge("How are you?", response)
    assert finding.reason.value == "confabulated_history" and response[-12:] in finding.evidence


@pytest.mark.parametrize(("prompt", "response"), [
    ("What did I tell you?", "You have not told me about your caravan in Marseille."),      # a denial
    ("What did I tell you?", "If you told me that your caravan burned, I forgot."),
    ("What did I tell you?", "Did you say that your caravan burned near Marseille?"),      # a question
    ("How are you?", "As you mentioned, patterns matter for deeper dialogue."),              # a manner of speaking
    ("How are you?", "I don't remember our last session."),
    ("How are you?", "Marseille has a harbour, and caravans burn."),                        # no claim about us
    ("My caravan burned near Marseille.", CARAVAN),                                        # said just now
    ("How are you?", "You told me that you are tired."),                                    # nothing to check
    ("We have had years, you and I.", "Our many years of working together have shown me a lot."),
])
def test_near_misses(prompt, response):
    assert judge(prompt, response) is None


def test_what_was_said_in_this_conversation_or_in_this_home_is_no_confabulation():
    said = ({"role": "user", "content": "Our caravans burned down near Marseille"}, {"role": "assistant", "content": "Oh."})
    assert judge("How are you?", CARAVAN, context=said) is None
    assert judge("How are you?", CARAVAN, Seen(("The caravan burned. We were near Marseille.", "Oh no."))) is None
    assert judge("How are you?", CARAVAN, Seen(("The weather is fine.", "Caravan, burned, Marseille."))) is not None
