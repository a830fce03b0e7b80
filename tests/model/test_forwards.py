"""A forward can be looked up from in its middle, and is as it was afterwards."""
from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")

from edge_sleep.model.forwards import looking_inside  # noqa: E402


class Wanted(Exception):
    pass


class Slow(torch.nn.Module):
    def __init__(self, done: list[int], number: int):
        super().__init__()
        self.done, self.number = done, number

    def forward(self, x):
        time.sleep(0.06)
        self.done.append(self.number)
        return x


def test_it_may_end_a_forward_in_its_middle() -> None:
    done: list[int] = []
    model = torch.nn.Sequential(*(Slow(done, number) for number in range(6)))
    looks = []

    def look() -> None:
        looks.append(None)
        if len(looks) == 2:
            raise Wanted

    with pytest.raises(Wanted), looking_inside(look):
        model(torch.zeros(1))
    assert done == [0, 1]
    model(torch.zeros(1))                                    # nobody looks any more
    assert done == [0, 1, *range(6)] and len(looks) == 2


def test_it_looks_seldom() -> None:
    model = torch.nn.Sequential(*(torch.nn.Identity() for _ in range(200)))
    looks = []
    with looking_inside(lambda: looks.append(None)):
        began = time.monotonic()
        for _ in range(20):
            model(torch.zeros(1))
        took = time.monotonic() - began
    assert len(looks) <= took / 0.05
