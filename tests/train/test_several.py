"""Whether several GPUs share a job: by what it has to do, what that costs, and who else waits."""
from __future__ import annotations

import pytest

from edge_sleep import config
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.train import several
from edge_sleep.train.planner import FULL_FORWARD, plan

SMALL, LARGE = KNOWN["qwen2.5-0.5b"], KNOWN["qwen2.5-7b"]


def share(*sets: str, shape=LARGE, gpus=4, examples=800, mean_tokens=512.0, alone=3600.0, available=7200.0, others=False, **given):
    return several.share(shape, config.load(None, list(sets)), gpus=gpus, examples=examples, mean_tokens=mean_tokens, alone_seconds=alone,
                         full_forward=FULL_FORWARD["gpu"], available_seconds=available, others_wait=others, **given)


@pytest.mark.parametrize("given, processes, reason", [
    ({}, 4, "nobody else waits"),
    ({"gpus": 1}, 1, "one GPU is here"),
    # The sample conversations: eight examples of 72 tokens a step.
    ({"mean_tokens": 72.0}, 1, "a step has 576 tokens"),
    ({"examples": 0}, 1, "a step has 0 tokens"),
    # One forward of 1,024 tokens for each of two: a third GPU would wait for launches, and adds nothing.
    ({"mean_tokens": 256.0}, 2, "nobody else waits"),
    # What starting costs is more than half of a short job.
    ({"alone": 60.0}, 1, "does not pay: 60 s alone"),
    # A link of a few megabytes a second: summing takes longer than computing.
    ({"link": 2e6}, 1, "to sum"),
    ({"others": True}, 1, "other jobs wait"),
    ({"others": True, "available": 2000.0}, 2, "more than the 2000 there are"),
    ({"others": True, "available": 1200.0}, 4, "more than the 1200 there are"),
    ({"others": True, "available": 300.0}, 1, "would not be in time either"),
])
def test_the_number_has_its_reason(given, processes, reason):
    found = share(**given)
    assert (found.processes, reason in found.reason) == (processes, True), found
    assert found.processes > 1 or found.seconds == given.get("alone", 3600.0)


def test_a_training_that_is_shared_is_shorter_but_no_more_than_its_parts():
    for gpus in range(2, 9):
        found = share(gpus=gpus)
        assert 3600.0 / gpus < found.seconds < 3600.0 / several.LEAST_GAIN


def test_a_ring_sends_each_gradient_out_and_in():
    settings = config.load(None, ["lora.rank=16"])
    gradients = 4 * LARGE.adapter_parameters(16, "all-linear")
    assert several.exchange_seconds(LARGE, settings, 2, link=1e9) == pytest.approx(gradients / 1e9 + several.SUM_SECONDS)
    assert several.exchange_seconds(LARGE, settings, 1) == 0.0


@pytest.mark.parametrize("gpus, sets, processes", [(None, [], 1), (1, [], 1), (4, [], 4), (4, ["thor.processes=2"], 2), (1, ["thor.processes=3"], 1)])
def test_the_plan_says_how_many_and_how_long(gpus, sets, processes):
    given = dict(examples=800, mean_tokens=512.0, longest=512, device="gpu", dtype="bfloat16", available_bytes=80 << 30, cores=8,
                 measured_tokens_per_second=300.0)
    found = plan(LARGE, config.load(None, sets), gpus=gpus, **given)
    alone = plan(LARGE, config.load(None, []), **given)
    assert found.processes == processes and found.peak_bytes == alone.peak_bytes, "each holds all of it"
    said = [choice for choice in found.choices if choice["name"] == "processes"]
    assert [choice["value"] for choice in said] == ([] if gpus is None else [processes])
    on_cpu = plan(LARGE, config.load(None, sets), gpus=gpus and 1, **{**given, "device": "cpu"})
    assert on_cpu.processes == (1 if gpus is None or not sets else int(sets[0][-1])), "where it is said, to try it out"
    assert (found.training_seconds < alone.training_seconds) == (gpus == 4 and not sets)
