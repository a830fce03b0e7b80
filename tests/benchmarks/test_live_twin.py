"""A real night beside a warming board, by command: minutes."""
from __future__ import annotations

import pytest
from edge_sleep.benchmarks.fake_board.live import nights
from edge_sleep.benchmarks.fake_board.service import impossible
from edge_sleep.benchmarks.twin import LIMITS, TOLERANCE, judge

WHY_NOT = impossible()
pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.skipif(WHY_NOT is not None, reason=f"no jtop service here: {WHY_NOT}")]


def test_a_real_night_keeps_the_ceiling_of_a_board_that_cannot_work_all_the_time(tmp_path):
    rows = nights(1, 1, 4.0, 150.0, LIMITS, TOLERANCE, tmp_path)
    assert judge(rows)["passed"], rows
    assert (tmp_path / "night-1.png").stat().st_size > 10_000
