"""Before a forward its bytes are held against what is left: give back first, then shrink, and never meet the limit."""
from __future__ import annotations

import pytest

from edge_sleep.config import Lora
from edge_sleep.device import allocator, memory
from edge_sleep.device.shortage import Foreseen, out_of_memory
from edge_sleep.errors import DoesNotFit
from edge_sleep.model.base import Base, BaseSource
from edge_sleep.train import room as rooms
from edge_sleep.train.anatomy import standing_bytes
from edge_sleep.train.room import Room, check_weights
from tests.train.test_anatomy import qwen

MEBI = 2**20


class Limit:
    """A limit so many MiB over what the process held when it began."""

    def __init__(self, mebibytes: int):
        self.ceiling, self.recounted = memory.anonymous_bytes() + mebibytes * MEBI, 0

    def refresh(self) -> int:
        return self.ceiling

    def recount(self) -> None:
        self.recounted += 1


def taken(rows: int, tokens: int, giving_back: bool) -> int:
    return rows * tokens * MEBI // 10 * (1 if giving_back else 5)


@pytest.fixture
def told(monkeypatch):
    """What the C library was told; it is told nothing."""
    calls: list[str] = []
    monkeypatch.setattr(allocator, "give_back_at_once", lambda: calls.append("told") or True)
    monkeypatch.setattr(rooms, "give_back", lambda: calls.append("trimmed"))
    return calls


@pytest.mark.parametrize(("mebibytes", "rows", "fits", "gives_back"), [
    (300, 4, True, False),             # 200 kept
    (100, 4, True, True),              # 200 kept, 40 given back
    (30, 4, False, True), (30, 2, True, True), (5, 1, False, True)])
def test_giving_back_comes_before_shrinking(told, mebibytes, rows, fits, gives_back):
    said: list[str] = []
    room = Room(Limit(mebibytes), taken, giving_back=False, on_give_back=said.append)
    if fits:
        room.check(rows, 100)
    else:
        with pytest.raises(Foreseen, match=rf"a forward of {rows} x 100 tokens would take this process to \d+ MiB, \d+ are"):
            room.check(rows, 100)
    assert room.giving_back is gives_back and told == (["told", "trimmed"] if gives_back else [])
    assert len(said) == gives_back


def test_where_it_gives_back_already_untouched_mappings_are_counted_anew(told):
    limit = Limit(100)
    room = Room(limit, taken, giving_back=True)
    room.check(4, 100)
    assert (limit.recounted, told) == (1, [])


def test_a_library_that_cannot_be_told_shrinks(monkeypatch):
    monkeypatch.setattr(allocator, "give_back_at_once", lambda: False)
    with pytest.raises(Foreseen):
        Room(Limit(100), taken, giving_back=False).check(4, 100)


def test_the_reason_is_the_event_s():
    assert out_of_memory(Foreseen("foreseen: too much")) == "foreseen: too much"
    assert out_of_memory(MemoryError()) == "Python"


def test_weights_that_no_longer_fit_are_refused_before_they_are_loaded(monkeypatch, tmp_path):
    base, lora = Base(BaseSource("a", tmp_path), "0" * 64, "bfloat16"), Lora(rank=4, targets="q_proj,v_proj")
    stands = standing_bytes(qwen(24), dtype="bfloat16", rank=4, targets="q_proj,v_proj")
    monkeypatch.setattr(memory, "available_bytes", lambda: stands)
    check_weights(qwen(24), base, lora)
    monkeypatch.setattr(memory, "available_bytes", lambda: stands - 1)
    with pytest.raises(DoesNotFit, match=r"the weights take 4\d\d MiB, and 4\d\d are left"):
        check_weights(qwen(24), base, lora)
