"""The model rewords tonight's prompts itself: a real model, of random weights, from whom nothing can be believed."""
import pytest

from edge_sleep import config
from edge_sleep.data.experience import Experience
from edge_sleep.data.quality import Unseen
from edge_sleep.device import detect
from edge_sleep.evaluate.rewriting import rewrite
from edge_sleep.model import base
from tests import micro

ASKED = [Experience(f"e{number}", prompt, answer, "s", {"total": 0.5}) for number, (prompt, answer) in enumerate(micro.TALK)]


@pytest.mark.night
def test_what_a_model_of_random_weights_says_is_not_believed(tmp_path):
    place = base.resolve(str(micro.make_model(tmp_path / "model")))
    device = detect.choose()
    declared = base.Base(place, base.fingerprint(place)[0], device.compute_dtype)
    settings = config.load(None, [*micro.SETS, f"companion.model={place.folder}", "data.self_paraphrase=2"])
    asked = []
    assert rewrite(declared, device, settings, None, ASKED, Unseen(), lambda: asked.append(1) is None) == {}
    assert asked
    assert rewrite(declared, device, settings, None, ASKED, Unseen(), lambda: False) == {}


@pytest.mark.night
def test_a_night_with_the_models_own_wordings(tmp_path):
    model, events = micro.make_model(tmp_path / "model"), []
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", "data.self_paraphrase=1", listener=events.append)
    assert record["outcome"] == "promoted" and record["data"]["moves"]["as said"] > 0
    assert [event["asked"] for event in events if event["event"] == "rewritten"] == [len(micro.TALK)]
