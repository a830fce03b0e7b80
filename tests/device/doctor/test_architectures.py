"""The rule of which code runs on which GPU, by cases that were measured or read in the wheels."""
from __future__ import annotations

import pytest

from edge_sleep.device.doctor.architectures import check_architectures, runs_on
from tests.device.doctor.machines import ORIN, TORCH, board

CU132 = ["sm_80", "sm_90", "sm_100", "sm_110", "sm_120"]                # torch 2.15 from the common index, Arm
JP6 = ["sm_87"]
SBSA = ["sm_110", "sm_121"]                                             # an index for Thor alone


@pytest.mark.parametrize("built, capability, cuda, jetson, unified, runs, words", [
    (CU132, (8, 7), "13.2", True, True, True, "sm_80 code runs on sm_87 with JetPack 7.2"),
    (CU132, (8, 7), "13.0", True, True, True, "sm_80 code runs"),
    (CU132, (8, 7), "12.6", True, True, False, "only where it was built with CUDA 13, not 12.6"),
    (CU132, (8, 7), None, True, True, False, "only where it was built with CUDA 13"),
    (CU132, (8, 7), "13.2", True, False, False, "does not run on a Jetson's sm_87 before JetPack 7.2"),
    (CU132, (8, 7), "13.2", True, None, None, "this release is not known"),
    (JP6, (8, 7), "12.6", True, False, True, "it has code for sm_87"),
    (SBSA, (8, 7), "13.0", True, True, False, "no code for sm_87, only sm_110, sm_121"),
    (SBSA, (11, 0), "13.0", True, False, True, "code for sm_110"),
    (["sm_80", "sm_90", "sm_100"], (11, 0), "12.8", True, True, False, "no code for sm_110"),
    (["sm_90a"], (9, 0), "13.0", False, None, True, "code for sm_90"),
    (["sm_100a"], (10, 3), "13.0", False, None, False, "no code for sm_103"),
    (["sm_100f"], (10, 3), "13.0", False, None, True, "sm_100 code runs on sm_103"),
    (["sm_80"], (8, 6), "12.4", False, None, True, "sm_80 code runs on sm_86"),
    (["sm_86"], (8, 0), "12.4", False, None, False, "no code for sm_80"),
    (["sm_50", "compute_50"], (8, 7), "12.6", True, False, True, "translates"),
    (["compute_90"], (8, 7), "12.6", True, False, False, "no code"),
    ([], (8, 7), "12.6", True, False, False, "only none at all"),
    (["gfx90a"], (8, 7), None, False, None, False, "only gfx90a")])
def test_the_rule(built, capability, cuda, jetson, unified, runs, words) -> None:
    decided, why = runs_on(built, capability, cuda, jetson, unified)
    assert (decided, words in why) == (runs, True), why


@pytest.mark.parametrize("facts, place, status", [
    (TORCH, board(), None), (ORIN, board(), "ok"), (ORIN, board(36, "4.3"), "warn"), (ORIN, board(36, "x"), "warn")])
def test_the_line(facts, place, status) -> None:
    line = check_architectures(facts, place)
    assert (line and line.status) == status
    assert line is None or bool(line.do) == (status == "warn")
