"""The variants of a night: pure, distinct, the configured settings first; how many fit."""
import pytest

from edge_sleep import config
from edge_sleep.train.candidates import cost, fitting, variants

PLAIN = config.load(None, [])


@pytest.mark.parametrize("has_parent", [False, True])
@pytest.mark.parametrize("sets", [(), ("train.preset=gentle",), ("lora.rank=1", "lora.alpha=1", "train.epochs=1"), ("replay.share=0",)])
def test_variants_are_pure_distinct_and_begin_with_what_is_configured(has_parent, sets):
    settings = config.load(None, list(sets))
    made = variants(settings, 12, has_parent)
    assert made == variants(settings, 12, has_parent)
    assert made[0].config == settings and made[0].settings == {} and made[0].work == 1
    assert len({str(variant.config) for variant in made}) == len(made) == len({variant.name for variant in made}) >= 8
    assert all(variant.reason for variant in made)
    assert variants(settings, 3, has_parent) == made[:3], "more candidates leave the first ones as they are"
    for variant in made:
        config.Config.model_validate(variant.config.model_dump()), "every variant is a configuration a person could write"


def test_a_parent_keeps_its_rank():
    assert any("lora.rank" in variant.settings for variant in variants(PLAIN, 12, False))
    assert not any("lora.rank" in variant.settings for variant in variants(PLAIN, 12, True))


def test_scale_follows_rank():
    for variant in variants(PLAIN, 12, False):
        assert variant.config.lora.alpha / variant.config.lora.rank == PLAIN.lora.alpha / PLAIN.lora.rank


def test_replay_that_is_switched_off_stays_off():
    settings = config.load(None, ["replay.share=0"])
    assert all(variant.config.replay.share == 0 for variant in variants(settings, 12, False))


def test_work_is_the_time_of_epochs_and_rehearsal():
    by_name = {variant.name: variant for variant in variants(PLAIN, 12, False)}
    assert by_name["twice the rate"].work == 1
    assert by_name["longer"].work == pytest.approx(1.5)
    assert by_name["more rehearsal"].work == pytest.approx(1.5)
    assert by_name["shorter"].work == pytest.approx(0.5)
    assert cost(by_name["longer"], 2, 100, 30) == pytest.approx(2 * 2 + 150 + 30)


def test_what_does_not_fit_is_passed_over_and_a_cheaper_one_follows():
    assert fitting([100, 100, 150, 50], 330) == [0, 1, 3]
    assert fitting([100], 109) == [], "a tenth is spared"
    assert fitting([], 10) == []
