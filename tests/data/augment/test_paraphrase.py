"""The model's own wordings: checked before they are believed."""
import pytest

from edge_sleep.config import Quality
from edge_sleep.data.augment.paraphrase import MOVE, accepted, paraphrases, requests
from edge_sleep.data.experience import Experience
from edge_sleep.data.quality import Unseen

ASKED = Experience("e1", "What is the name of my sister in Ostrel?", "Your sister is called Lena.", "s", {"total": 0.5})


def checked(said, experience=ASKED):
    return accepted(experience, requests(experience.prompt, 1)[0], said, Unseen(), Quality())


@pytest.mark.parametrize("said", ["What name does my sister in Ostrel have?", "Sure: what name has my sister in Ostrel?",
                                  '"How is my sister from Ostrel named: what is her name?"', "what is my Ostrel sister's name?"])
def test_a_rewording_is_taken_without_what_stands_around_it(said):
    assert checked(said) == said.removeprefix("Sure: ").strip('"')


@pytest.mark.parametrize(("said", "why"), [
    ("", "nothing"), ("What is the name of my sister in Ostrel?", "the same"), ("What is my sister's name in Rome?", "another place"),
    ("What is my sister's name?", "the place is lost"), ("What is the name of my 2 sisters in Ostrel?", "a number"),
    ("What is not the name of my sister in Ostrel?", "a negation"), ("My sister in Ostrel has a name.", "no question"),
    ("Is the name of my sister in Ostrel Lena?", "tells the answer"), ("What is my sister\nin Ostrel called by name?", "two lines"),
    ("Where in Ostrel?", "another topic"), ("What? What? What? What? " * 6 + "sister name Ostrel?", "a flood"),
    ("Of the people in Ostrel, of all of them there are, which name, I ask you and ask again, belongs to my sister, really?", "long")])
def test_what_fails_a_check_is_left(said, why):
    assert checked(said) is None, why


def test_statements_stay_statements():
    told = Experience("e2", "My dog Rex likes long walks.", "That sounds lovely.", "s", {"total": 0.5})
    assert checked("My dog Rex is fond of long walks.", told) and checked("Does my dog Rex like long walks?", told) is None


def test_all_experiences_in_batches_until_the_time_is_up():
    many = [Experience(f"e{n}", f"Where is box {n} from Ostrel?", "In the cellar.", "s", {"total": 0.5}) for n in range(10)]
    batches = []

    def generate(prompts):
        batches.append(len(prompts))
        return [prompt.split("\n\n")[1].replace("Where is", "In what place is") for prompt in prompts]

    found = paraphrases(many, 2, generate, history=Unseen(), quality=Quality(), batch=4)
    assert batches == [4] * 5 and found["e3"][0].text == "In what place is box 3 from Ostrel?"
    assert all(len(kept) == 1 and kept[0].move == MOVE for kept in found.values()), "the same twice is kept once"
    batches.clear()
    cut = paraphrases(many, 2, generate, history=Unseen(), quality=Quality(), batch=4, time_left=lambda: len(batches) < 2)
    assert set(cut) == {"e0", "e1", "e2", "e3"}
