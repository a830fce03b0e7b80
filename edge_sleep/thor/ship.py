"""Ship or stay: where tonight is trained, and every reason. Pure; the night, the plan and `ship` ask here."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

ROUGH = 2.0                                        # a time that nobody has measured yet may be so many times too long
REFUSALS = 2                                       # results of one night that were refused before no third is asked for


class Cause(str, Enum):
    """What speaks for another machine."""

    ASKED = "asked"
    BACKWARD = "backward"
    MODEL = "model"
    MEMORY = "memory"
    TIME = "time"
    HEAT = "heat"


@dataclass(frozen=True)
class Here:
    """What this machine can do of tonight's training; bytes, seconds, Celsius. None: nobody knows, which speaks for nothing."""

    fits: bool                                     # the plan has a place for it
    peak_bytes: int = 0                            # at the least that a step can take
    allowed_bytes: int = 0
    standing_bytes: int = 0                        # process, weights and adapter, before any step
    total_bytes: int | None = None                 # of the machine, or what the night may ever take of it
    training_seconds: float = 0.0
    time_seconds: float = 0.0                      # for training, in one night
    measured: bool = False                         # training_seconds rests on an earlier night
    no_backward: str | None = None                 # why no 4-bit layer runs backward on it
    hottest_celsius: float | None = None
    ceiling_celsius: float | None = None
    duty: float | None = None                      # share of the time that heat lets it work
    stopped: tuple[Cause, str] | None = None       # training had begun, and this ended it with steps left


@dataclass(frozen=True)
class There:
    """What stands between this machine and another that would do it."""

    asked: Literal["never", "needed", "always"]
    mailbox: bool                                  # one is configured
    paired: int = 0                                # machines that may take a job
    unusable: str | None = None                    # why the mailbox or the keys cannot be used at all
    refused: int = 0                               # results of this night that were not believed
    declined: str | None = None                    # why every paired machine sent this night back
    overdue: bool = False                          # this night has waited for longer than thor.patience
    several: bool = False                          # candidates are trained, and some of that is done


@dataclass(frozen=True)
class Reason:
    name: str
    value: str
    reason: str

    def as_choice(self) -> dict:
        """A line of the plan."""
        return {"name": f"ship.{self.name}", "value": self.value, "reason": self.reason}

    def __str__(self) -> str:
        """A line of the record."""
        return f"ship.{self.name} {self.value}: {self.reason}"


@dataclass(frozen=True)
class Decision:
    where: Literal["here", "remote", "none"]
    causes: tuple[Cause, ...]                      # what speaks for another machine
    against: tuple[str, ...]                       # what forbids it
    reasons: tuple[Reason, ...]                    # all that was looked at
    stays: bool                                    # this machine could do it as well

    def __str__(self) -> str:
        named = {cause.value for cause in self.causes}
        for_it = "; ".join(reason.reason for reason in self.reasons if reason.name in named)
        return for_it if self.where == "remote" or not self.causes else f"{for_it}; not shipped: {'; '.join(self.against)}"


def decide(here: Here, there: There) -> Decision:
    """`remote` where something speaks for it and nothing forbids it, else `here` where the plan fits, else `none`."""
    found = [*_causes(here, there)]
    causes = tuple(cause for cause, speaks, _ in found if speaks)
    against = tuple(_against(there))
    reasons = [Reason(cause.value, "ship" if speaks else "stay", why) for cause, speaks, why in found]
    reasons.append(Reason("mailbox", "closed" if against else "open",
                          "; ".join(against) or f"{there.paired} paired machine(s) may take it"))
    can_stay = here.fits and here.no_backward is None
    return Decision("remote" if causes and not against else "here" if can_stay else "none", causes, against, tuple(reasons),
                    can_stay)


def _causes(here: Here, there: There) -> Iterator[tuple[Cause, bool, str]]:
    yield Cause.ASKED, there.asked == "always", f"thor.ship is {there.asked}"
    yield Cause.BACKWARD, here.no_backward is not None, here.no_backward or "a 4-bit layer runs backward here"
    if here.stopped is not None and here.stopped[0] is Cause.MEMORY:
        yield Cause.MEMORY, True, here.stopped[1]
    elif not here.fits:
        beyond = here.total_bytes is not None and here.standing_bytes > here.total_bytes
        if beyond and here.total_bytes is not None:
            yield Cause.MODEL, True, (f"the model and its adapter alone take {_mib(here.standing_bytes)}, this machine has "
                                      f"{_mib(here.total_bytes)}")
        yield Cause.MEMORY, not beyond, (f"one example at a time needs {_mib(here.peak_bytes)}, {_mib(here.allowed_bytes)} are "
                                         "there")
    else:
        yield Cause.MEMORY, False, f"{_mib(here.peak_bytes)} of {_mib(here.allowed_bytes)}"
        yield _time(here)
    yield _heat(here)


def _time(here: Here) -> tuple[Cause, bool, str]:
    if here.stopped is not None and here.stopped[0] is Cause.TIME:
        return Cause.TIME, True, here.stopped[1]
    least = here.training_seconds if here.measured else here.training_seconds / ROUGH
    how = "as measured before" if here.measured else f"by a rough forecast, which may be {ROUGH:g} times too long"
    return Cause.TIME, least > here.time_seconds, (f"training takes {here.training_seconds:.0f} s {how}, "
                                                   f"{here.time_seconds:.0f} s are for it")


def _heat(here: Here) -> tuple[Cause, bool, str]:
    if here.stopped is not None and here.stopped[0] is Cause.HEAT:
        return Cause.HEAT, True, here.stopped[1]
    hottest, ceiling, duty = here.hottest_celsius, here.ceiling_celsius, here.duty
    if hottest is None or ceiling is None:
        return Cause.HEAT, False, "nothing tells how hot it is"
    if hottest >= ceiling:
        return Cause.HEAT, True, f"{hottest:.1f} degrees before anything was begun, the ceiling is {ceiling:.1f}"
    if duty is not None and here.measured and here.time_seconds * duty < here.training_seconds <= here.time_seconds:
        return Cause.HEAT, True, (f"at {duty:.0%} of the time, which heat allows, training takes "
                                  f"{here.training_seconds / max(duty, 1e-3):.0f} s, {here.time_seconds:.0f} s are for it")
    return Cause.HEAT, False, f"{hottest:.1f} degrees, the ceiling is {ceiling:.1f}"


def _against(there: There) -> Iterator[str]:
    if there.asked == "never":
        yield "thor.ship is never"
    if not there.mailbox:
        yield "thor.mailbox names none"
    elif there.unusable is not None:
        yield there.unusable
    elif not there.paired:
        yield "no machine is paired (`edge-sleep thor pair`)"
    if there.refused >= REFUSALS:
        yield f"{there.refused} results of this night were refused"
    if there.declined is not None:
        yield f"every paired machine sent it back: {there.declined}"
    if there.overdue:
        yield "it has waited for longer than thor.patience"
    if there.several:
        yield "several candidates are being trained here"


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
