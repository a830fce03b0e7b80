"""Leases as a table, and any number of workers that live and die at random: one at a time, and never a job left for good."""
from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.thor.lease import Act, Seen, Watch, look, lost

SECONDS = 10.0
HELD = Seen(lease=2, holder="other", beat=5)

TABLE = [
    (Seen(), None, Act.TAKE, 1),
    (Seen(closed="answered"), None, Act.LEAVE, 0),
    (replace(HELD, closed="taken back"), Watch(2, 5, 0.0), Act.LEAVE, 0),
    (HELD, None, Act.WAIT, 0),                                       # the first look says nothing about how old it is
    (HELD, Watch(2, 5, 95.0), Act.WAIT, 0),
    (HELD, Watch(2, 5, 90.0), Act.TAKE, 3),
    (HELD, Watch(2, 4, 0.0), Act.WAIT, 0),                           # it has beaten since
    (HELD, Watch(1, 9, 0.0), Act.WAIT, 0),                           # another lease since
    (replace(HELD, beat=3), Watch(2, 5, 90.0), Act.TAKE, 3),         # an old beat put back is no beat
    (replace(HELD, holder=None), None, Act.TAKE, 3),
    (replace(HELD, given_back=True), None, Act.TAKE, 3),
    (replace(HELD, holder="me"), None, Act.TAKE, 3),
]


@pytest.mark.parametrize("seen, watch, act, number", TABLE)
def test_look(seen: Seen, watch: Watch | None, act: Act, number: int) -> None:
    step = look(seen, watch, 100.0, SECONDS, "me")
    assert (step.act, step.number) == (act, number) and step.reason
    if act is Act.WAIT:
        assert 0 < step.seconds <= SECONDS and step.watch is not None and (step.watch.lease, step.watch.beat) == (2, 5)


@pytest.mark.parametrize("seen, mine, expected", [
    (Seen(lease=1, holder="me"), 1, None), (Seen(closed="taken back", lease=1, holder="me"), 1, "taken back"),
    (Seen(lease=2, holder="other"), 1, "other took it over with lease 2"),
    (Seen(lease=2, holder=None), 1, None)])                          # nobody's lease takes nothing from anybody
def test_lost(seen: Seen, mine: int, expected: str | None) -> None:
    assert lost(seen, mine) == expected


def test_a_put_back_beat_does_not_begin_the_wait_anew() -> None:
    step = look(replace(HELD, beat=3), Watch(2, 5, 91.0), 100.0, SECONDS, "me")
    assert step.watch == Watch(2, 5, 91.0) and step.seconds == 1.0


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_workers_that_die_leave_no_job_undone(seed: int, workers: int) -> None:
    """A mailbox in memory; every tick each living worker beats or looks; one in ten dies and comes back with another clock."""
    chance = random.Random(seed)
    leases: list[tuple[str, int]] = []                               # (holder, beats) by number
    holding: dict[str, int] = {}
    work: dict[str, int] = {}
    watches: dict[str, Watch] = {}
    offset = {f"w{index}": chance.uniform(0, 1e6) for index in range(workers)}
    done, takes = None, 0
    for tick in range(2000):
        for me in chance.sample(sorted(offset), workers):
            now = offset[me] + tick
            if chance.random() < 0.02:                               # killed; its clock and its memory begin anew
                offset[me] = chance.uniform(0, 1e6)
                for of_life in (holding, work, watches):
                    of_life.pop(me, None)
                continue
            holder, beats = leases[-1] if leases else (None, 0)
            seen = Seen("answered" if done else None, len(leases), holder, beats)
            if me in holding:
                if lost(seen, holding[me]) is not None:
                    holding.pop(me), work.pop(me)
                    continue
                leases[-1] = (me, beats + 1)
                work[me] += 1
                if work[me] >= 12:
                    done, _ = me, holding.pop(me)
                continue
            step = look(seen, watches.get(me), now, 5.0, me)
            if step.watch is not None:
                watches[me] = step.watch
            if step.act is Act.TAKE:
                assert step.number == len(leases) + 1
                leases.append((me, 0))
                holding[me], work[me], takes = step.number, 0, takes + 1
        if done:
            break
    assert done is not None and takes >= 1
