import pytest

from edge_sleep import config
from edge_sleep.data.experience import Experience
from edge_sleep.device import detect
from edge_sleep.evaluate.surprise import surprises
from edge_sleep.model import base
from edge_sleep.system.home import Home
from tests import micro

SALIENCE = {**dict.fromkeys(("surprise", "novelty", "arousal", "reward", "conflict"), 0.5), "total": 0.5}


@pytest.mark.night
def test_what_the_incumbent_has_learned_surprises_it_no_more(tmp_path):
    model = micro.make_model(tmp_path / "model")
    micro.write_talk(tmp_path / "talk")
    first = micro.night(tmp_path / "home", model, tmp_path / "talk", "salience.by_model=true")
    assert first["outcome"] == "promoted" and first["data"]["surprise"] == {"model": len(micro.TALK), "counts": 0}

    device, settings = detect.choose(), config.load(None, [*micro.SETS, f"companion.model={model}"])
    place = base.resolve(str(model))
    declared = base.Base(place, base.fingerprint(place)[0], device.compute_dtype)
    items = [Experience(f"e{number}", prompt, answer, "s", SALIENCE) for number, (prompt, answer) in enumerate(micro.TALK)]
    incumbent = Home(tmp_path / "home").adapter(first["candidate"])
    before = surprises(declared, device, settings, None, items, lambda: True)
    after = surprises(declared, device, settings, incumbent, items, lambda: True)
    assert before.keys() == after.keys() == {item.id for item in items}
    assert all(0 <= after[name] < before[name] <= 1 for name in before)
    assert surprises(declared, device, settings, None, items, lambda: False) == {}


@pytest.mark.night
def test_counts_stand_in_where_no_model_is_asked(tmp_path):
    model = micro.make_model(tmp_path / "model")
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert record["data"]["surprise"] == {"model": 0, "counts": len(micro.TALK)}
