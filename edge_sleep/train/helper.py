"""A process that is not the first of its team: it waits for trainings, takes its share of each, and ends."""
from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from edge_sleep.device import detect
from edge_sleep.errors import DeviceError, EdgeSleepError
from edge_sleep.train import team
from edge_sleep.train.session import share_training


def take_part(cuda: bool | None = None) -> int:
    """Share in every training of the night that process 0 runs; returns how many there were.

    cuda: whether the team computes on GPUs; None looks whether there is one.

    What goes wrong in a training goes wrong in every process at once, and process 0 says it. Raises DeviceError where
    process 0 ended without a word.
    """
    trainings = 0
    try:
        for together, work in team.announced(detect.choose().kind == "gpu" if cuda is None else cuda):
            with _process_0_decides():
                share_training(work, together)
            trainings += 1
    except EdgeSleepError:
        return trainings
    except RuntimeError as error:
        if "closed" not in str(error).casefold():
            raise
        raise DeviceError(f"process 0 of this night is gone: {error}",
                          "its own messages say why; start all of them again") from error
    return trainings


@contextmanager
def _process_0_decides() -> Iterator[None]:
    """A signal reaches all processes; the first finishes its step with the help of the others, then stops for all."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
