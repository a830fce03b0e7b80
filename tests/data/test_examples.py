"""A conversation as templates want it: whole exchanges, words without thoughts."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.data.examples import alternating, conversation, epochs_in_context

messages = st.lists(st.builds(lambda role, content: {"role": role, "content": content},
                              st.sampled_from(["system", "user", "assistant"]), st.sampled_from(["", " ", "a", "b", "c d"])), max_size=8)


@given(messages)
def test_any_context_becomes_whole_exchanges(context):
    made = alternating(context)
    roles = [message["role"] for message in made]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    assert alternating(made) == made
    assert all(message["content"].strip() for message in made)


def test_whole_exchanges_stay_as_they_are():
    context = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert alternating(context) == context
    assert [message["content"] for message in conversation("c", "d", context)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("said", "learned"), [
    ("<think>\nhm\n</think>\n\nYes.", "Yes."), ("Yes.", "Yes."), ("<think></think>No.", "No."),
    ("A <think> tag.", "A <think> tag."), ("<think>never closed", "<think>never closed")])
def test_thoughts_are_not_words(said, learned):
    assert conversation("q", said)[-1]["content"] == learned


@given(st.integers(1, 12), st.floats(0, 1), st.text(max_size=5))
def test_epochs_in_context_are_the_share_or_its_neighbour(epochs, share, seed):
    chosen = epochs_in_context("Where is the boat?", epochs, share, seed)
    assert chosen <= set(range(epochs)) and abs(len(chosen) - epochs * share) < 1
    assert chosen == epochs_in_context("Where is the boat?", epochs, share, seed)


def test_fractions_hold_over_many():
    counts = [len(epochs_in_context("Where is the boat?", 1, 0.5, str(seed))) for seed in range(1000)]
    assert 430 < sum(counts) < 570
