"""When training breaks off, and why: somebody wants the device, the time is over, or heat and power say so."""
from __future__ import annotations

from collections.abc import Callable

from edge_sleep.errors import Preempted
from edge_sleep.train.budget import Contract
from edge_sleep.train.loop import Stop
from edge_sleep.train.pace import Pace


class Breaks:
    """What the loop asks at its boundaries; `why` says what it was told last."""

    def __init__(self, contract: Contract, pace: Pace, interrupted: Callable[[], str | None]):
        self.contract, self.pace, self.interrupted = contract, pace, interrupted
        self.why = ""

    def may_step(self, step_seconds: float) -> Stop | None:
        """Before an optimiser step that takes so long without rests."""
        if reason := self.interrupted():
            self.why = reason
            return Stop.PREEMPTED
        if self.contract.fits(step_seconds / self.pace.duty):
            return None
        work, rested = self.pace.work_left, self.pace.rested
        if work is not None and self.contract.for_training() + rested >= work > self.contract.for_training():
            causes = ", ".join(f"{cause.value} {seconds:.0f} s" for cause, seconds in self.pace.rests.items())
            self.why = f"the time is over: {rested:.0f} s were rests ({causes}), without which it would have been enough"
            return Stop.HEAT
        return Stop.DEADLINE

    def give_way(self) -> None:
        """While nothing is trained yet. Raises Preempted."""
        if reason := self.interrupted():
            raise Preempted(f"{reason}; the base was being loaded")

    def boundary(self) -> Stop | None:
        """Before each forward: rest as the pace says."""
        halt = self.pace.rest(lambda: self.interrupted() is not None or self.contract.for_training() <= 0)
        if reason := self.interrupted():
            self.why = reason
            return Stop.PREEMPTED
        if halt is None:
            return None
        self.why = f"{halt.cause.value}: {halt.reason}"
        return Stop.HEAT

    def too_much(self, whole: float, least: float) -> bool:
        """Whether heat leaves time for `least` seconds of work but not for `whole`, which would fit without it."""
        ahead, left = self.pace.expected(), self.contract.for_training()
        return ahead is not None and whole <= left < ahead.seconds_for(whole) and ahead.seconds_for(least) <= left
