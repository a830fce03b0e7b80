import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.data import clusters as clusters_module
from edge_sleep.data.clusters import Clusters
from edge_sleep.data.words import jaccard


@pytest.mark.parametrize(("one", "other"), [
    ("How are you?", "how are you"),
    ("What's on your mind today?", "Hello! What's on your mind?"),
    ("What would you want to remember from today?", "Today, what would you want to remember?"),
    ("You've been developing for many sessions now. What stands out to you about your journey?",
     "You've been developing for many sessions. What stands out about the journey so far?"),
    ("Tell me something about the old radio in the kitchen that surprised you.",
     "Tell me something about the old kitchen radio that surprised you, please."),
    ("Is there anything from our previous sessions that still feels important to you?",
     "Is there anything from the previous sessions that feels important still?"),
])
def test_the_same_question_in_other_dress_is_one_cluster(one, other):
    clusters = Clusters()
    assert clusters.of(one) == clusters.of(other)


@pytest.mark.parametrize(("one", "other"), [
    ("What is my uncle's favourite food?", "What is my teacher's favourite food?"),
    ("What is my uncle's favourite food?", "What is my uncle's favourite drink?"),
    ("How are you?", "Who are you?"),
    ("What is 2+2?", "What is 2+3?"),
    ("A bat and a ball cost 110 cents. The bat costs 100 more. How much is the ball?",
     "A bat and a ball cost 220 cents. The bat costs 100 more. How much is the ball?"),
    ("What does partnership mean to you?", "What does presence mean to you?"),
    ("Where does the lamp stand?", "Where does the chair stand?"),
    ("Hello.", "Continue."),
])
def test_other_questions_are_other_clusters(one, other):
    clusters = Clusters()
    assert clusters.of(one) != clusters.of(other)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="abc 12?'", max_size=20), max_size=30))
def test_a_prompt_always_finds_its_own_cluster(prompts):
    clusters = Clusters()
    first = [clusters.of(prompt) for prompt in prompts]
    assert [clusters.of(prompt) for prompt in prompts] == first
    assert sorted(set(first)) == list(range(len(set(first))))


@pytest.mark.parametrize("prompt", ["Session {n}: how do you feel about the {n}th stone in the long garden wall today?",
                                    "word{n} word{m} word{k} word{j} and some more of it", "What about {n}?",
                                    "How do you feel about the thing called {w} in the long garden wall today?"])
def test_a_prompt_is_compared_with_a_bounded_number_of_leaders(monkeypatch, prompt):
    compared = []
    monkeypatch.setattr(clusters_module, "jaccard", lambda one, other: compared.append(1) or jaccard(one, other))
    clusters, most = Clusters(), 0
    for n in range(3000):
        compared.clear()
        clusters.of(prompt.format(n=n, m=n * 7 % 3000, k=n * 13 % 3000, j=n * 29 % 3000, w=_letters(n)))
        most = max(most, len(compared))
    assert most <= clusters_module._BANDS * clusters_module._CROWD


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number)) + "ing"


def test_a_crowd_of_leaders_in_one_place_grows_no_further(monkeypatch):
    monkeypatch.setattr(clusters_module, "NEAR", 2.0)                  # nothing is near: each prompt leads
    monkeypatch.setattr(clusters_module, "_CROWD", 1)
    clusters = Clusters()
    words = "kettle radio kitchen garden harbour lantern window ladder blanket compass"
    assert [clusters.of(f"{words} extra{'abcdefghijklmnopqrst'[n]}") for n in range(20)] == list(range(20))
    assert clusters._bands and all(len(leaders) <= 1 for leaders in clusters._bands.values())
    assert len(clusters._bands) < 20 * len(clusters_module._keys(frozenset({"kettle"})))       # they did meet
