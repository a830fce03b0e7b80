"""On a CPU the plan has two regimes: what is freed is kept, or given back where that is what makes the night fit."""
from __future__ import annotations

import pytest

from edge_sleep.config import Config
from edge_sleep.train.planner import Fit, Plan, peak_bytes, plan
from tests.train.test_anatomy import qwen

CONFIG = Config.model_validate({"train": {"micro_batch": 4, "loss_chunk": 32}, "lora": {"rank": 4, "targets": "q_proj,v_proj"}})
ASKED = Fit(32, True, 4)


def need(fit: Fit, give_back: bool) -> int:
    return peak_bytes(qwen(24), CONFIG, fit, device="cpu", dtype="bfloat16", tokens=512, give_back=give_back)


def planned(allowed: int, libc: str = "glibc") -> Plan:
    return plan(qwen(24), CONFIG, examples=12, mean_tokens=512, longest=512, device="cpu", dtype="bfloat16",
                available_bytes=allowed, cores=2, measured_tokens_per_second=None, libc=libc)


@pytest.mark.parametrize("allowed, give_back, fit", [
    (need(ASKED, False), False, ASKED),
    (need(ASKED, False) - 1, True, ASKED),
    (need(ASKED, True), True, ASKED),
    (need(ASKED, True) - 1, True, Fit(32, True, 2))], ids=["kept", "given_back", "given_back_just", "given_back_and_less"])
def test_giving_back_comes_before_doing_less(allowed, give_back, fit):
    found = planned(allowed)
    assert (found.where, found.give_back, found.fit, found.peak_bytes) == ("cpu", give_back, fit, need(fit, give_back))
    [choice] = [choice for choice in found.choices if choice["name"] == "freed_memory"]
    assert choice["value"] == ("given back" if give_back else "kept") and "MiB" in choice["reason"]


def test_a_library_that_cannot_be_told_does_less_instead():
    found = planned(need(ASKED, False) - 1, "musl")
    assert (found.give_back, found.fit.micro_batch) == (False, 2)
    assert "musl" in next(choice["reason"] for choice in found.choices if choice["name"] == "freed_memory")
