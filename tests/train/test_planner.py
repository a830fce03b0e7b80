"""The plan: what fits is used well, what does not is made to fit, and every choice says why."""
import pytest

from edge_sleep.config import Config
from edge_sleep.train.planner import Fit, peak_bytes, plan
from tests.train.test_anatomy import qwen

CONFIG = Config.model_validate({"train": {"micro_batch": 8, "loss_chunk": 128, "checkpointing": False}})


def planned(mebibytes, device="gpu"):
    return plan(qwen(24), CONFIG, examples=100, mean_tokens=200, longest=512, device=device, dtype="bfloat16",
                available_bytes=int(mebibytes * 2**20), cores=6, measured_tokens_per_second=None)


def test_what_does_not_fit_is_made_to_the_cheapest_way_first():
    ways = [Fit(128, False, 8), Fit(64, False, 8), Fit(32, False, 8), *(Fit(32, True, micro_batch) for micro_batch in (8, 4, 2, 1))]
    needs = [peak_bytes(qwen(24), CONFIG, way, device="gpu", dtype="bfloat16", tokens=512) for way in ways]
    assert needs == sorted(needs, reverse=True)
    for way, bytes_ in zip(ways, needs, strict=True):
        found = planned(bytes_ / 2**20 + 1)
        assert (found.where, found.peak_bytes) == ("gpu", bytes_) and needs.index(bytes_) == ways.index(found.fit), way
    choices = {choice["name"]: choice for choice in planned(needs[4] / 2**20 + 1).choices}
    assert (choices["micro_batch"]["value"], choices["grad_accum_steps"]["value"]) == (4, 2)
    assert "smaller than configured" in choices["loss_chunk"]["reason"]


def test_what_cannot_fit_is_refused_before_anything_is_loaded():
    found = planned(900)
    assert found.where == "none" and found.fit.micro_batch == 1
    assert "one example at a time needs" in found.choices[0]["reason"]


def test_a_cpu_is_given_room_for_what_its_allocator_keeps():
    needs = [peak_bytes(qwen(24), CONFIG, Fit(32, True, 8), device=device, dtype="bfloat16", tokens=512)
             for device in ("gpu", "cpu")]
    assert needs[1] > needs[0] + 2**30


ONE_AT_A_TIME = Config.model_validate({"train": {"micro_batch": 1, "grad_accum_steps": 8}})


def fuller(mebibytes=4096, mean_tokens=60.0, device="gpu", config=ONE_AT_A_TIME):
    found = plan(qwen(24), config, examples=100, mean_tokens=mean_tokens, longest=256, device=device, dtype="bfloat16",
                 available_bytes=int(mebibytes * 2**20), cores=6, measured_tokens_per_second=None)
    return found, {choice["name"]: choice for choice in found.choices}


@pytest.mark.parametrize(("mean_tokens", "device", "micro_batch"), [
    (60.0, "gpu", 8), (129.0, "gpu", 8), (260.0, "gpu", 4), (512.0, "gpu", 2), (2000.0, "gpu", 1), (60.0, "cpu", 8), (129.0, "cpu", 4)])
def test_forwards_are_filled_to_the_tokens_from_which_more_no_longer_pay(mean_tokens, device, micro_batch):
    found, choices = fuller(8192, mean_tokens, device)
    assert found.fit.micro_batch == choices["micro_batch"]["value"] == micro_batch
    assert micro_batch * choices["grad_accum_steps"]["value"] == 8, "the step stays"
    assert micro_batch == 1 or "more than the 1 configured" in choices["micro_batch"]["reason"]


def test_forwards_grow_no_further_than_memory():
    needs = {size: peak_bytes(qwen(24), ONE_AT_A_TIME, Fit(128, True, size), device="gpu", dtype="bfloat16", tokens=256)
             for size in (1, 4, 8)}
    assert needs[1] < needs[4] < needs[8]
    found, choices = fuller((needs[4] + 1) / 2**20)
    assert (found.fit.micro_batch, choices["grad_accum_steps"]["value"]) == (4, 2)
    found, choices = fuller((needs[1] + 1) / 2**20)
    assert found.fit.micro_batch == 1 and "1024 tokens a forward would be faster" in choices["micro_batch"]["reason"]


def test_an_empty_lesson_is_planned_as_configured():
    assert fuller(mean_tokens=0.0)[0].fit.micro_batch == 1


def test_what_is_full_already_stays():
    assert fuller(config=Config())[0].fit.micro_batch == Config().train.micro_batch


def test_where_freed_memory_goes_back_a_cpu_needs_less():
    kept, given = (peak_bytes(qwen(24), CONFIG, Fit(32, True, 8), device="cpu", dtype="bfloat16", tokens=512, give_back=back)
                   for back in (False, True))
    assert given < kept


def test_a_measured_speed_is_the_time_it_takes():
    found = plan(qwen(24), CONFIG, examples=100, mean_tokens=200, longest=512, device="gpu", dtype="bfloat16",
                 available_bytes=2**40, cores=6, measured_tokens_per_second=50.0)
    assert found.training_seconds == 100 * 200 * CONFIG.train.epochs / 50
    assert any("measured on this home's last night" in choice["reason"] for choice in found.choices)
