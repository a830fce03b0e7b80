from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_sleep.remote.bandwidth import Bandwidth
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.system.clock import ManualClock


@given(some.integers(1024, 10 ** 7), some.lists(some.integers(0, 10 ** 6), max_size=20), some.integers(0, 100))
def test_the_cap_is_held_and_no_pause_is_caught_up(cap, moved, idle):
    clock = ManualClock()
    bandwidth = Bandwidth(cap, clock)
    clock.advance(idle)
    for count in moved:
        assert 0 < bandwidth.block_bytes() <= cap
        bandwidth.spent(count)
    assert clock.seconds - idle == pytest.approx(sum(moved) / cap)


def test_without_a_cap_nothing_waits():
    clock = ManualClock()
    bandwidth = Bandwidth(None, clock)
    bandwidth.spent(10 ** 12)
    assert clock.seconds == 0 and bandwidth.block_bytes(77) == 77


def test_a_file_takes_its_time_both_ways(tmp_path):
    clock = ManualClock()
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    remote = FolderRemote(tmp_path / "there", clock=clock, bandwidth_bytes=2000)
    remote.put("a", tmp_path / "file", tmp_path / "note")
    assert clock.seconds == pytest.approx(5)
    remote.get("a", tmp_path / "back")
    assert clock.seconds == pytest.approx(10)
