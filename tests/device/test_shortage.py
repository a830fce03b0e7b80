"""What a failed night still holds is let go of while its error is on the way out."""
from __future__ import annotations

import traceback
import weakref

import pytest

from edge_sleep.device import shortage


class Model:
    """Stands for what takes the memory."""


def test_an_error_lets_go_of_what_its_functions_held() -> None:
    alive: list[weakref.ref] = []

    def train() -> None:
        model = Model()
        alive.append(weakref.ref(model))
        raise ValueError("a sensor is gone")

    def night() -> None:
        judged = Model()
        alive.append(weakref.ref(judged))
        try:
            train()
        except ValueError as error:
            raise RuntimeError("the night broke") from error

    with pytest.raises(RuntimeError) as caught:
        night()
    assert all(model() is not None for model in alive)               # the error keeps them
    told = "".join(traceback.format_exception(caught.value))
    shortage.let_go(caught.value)
    assert [model() for model in alive] == [None, None]
    assert "".join(traceback.format_exception(caught.value)) == told  # nothing of its story is lost
