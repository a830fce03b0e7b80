"""Every way a command can end, and every error that belongs to it.

    EdgeSleepError
    |-- UsageError            2   what was asked contradicts itself
    |   `-- ConfigError       2   every problem of a configuration, collected
    |-- Busy                 17   another night or conversation holds the lock
    |-- DoesNotFit           20   the plan does not fit the memory or the time
    |-- StorageError         21   the home is full or not writable
    |-- DeviceError          22   no usable device or library
    |-- ModelError           23   model or adapter cannot be used
    |-- IntegrityError       30   bytes on disk are not the bytes that were promised
    |-- SyncError            40   a remote could not be reached or used; what waits to be sent is kept
    |-- RemoteRefused        41   what came from another machine, or was sent to it, is not to be trusted or used
    |-- Preempted            14   a conversation takes the device
    `-- TooHot               13   heat or power say that the night must stop

A traceback that reaches a person is a bug (exit 50); everything else is one of these.
"""
from __future__ import annotations

from enum import Enum, IntEnum


class Exit(IntEnum):
    """Exit codes of every command; systemd reads them."""

    OK = 0
    USAGE = 2
    NOTHING_TO_DO = 10
    REJECTED = 11
    STOPPED_TIME = 12
    STOPPED_HEAT = 13
    PREEMPTED = 14
    NO_EFFECT = 15
    SHIPPED = 16
    BUSY = 17
    DOES_NOT_FIT = 20
    STORAGE = 21
    DEVICE = 22
    MODEL = 23
    INTEGRITY = 30
    SYNC = 40
    REMOTE_REFUSED = 41
    BUG = 50


class Outcome(str, Enum):
    """The named end of a night; one per record."""

    PROMOTED = "promoted"
    NOTHING_TO_DO = "nothing_to_do"
    REJECTED = "rejected"
    NO_EFFECT = "no_effect"
    STOPPED_TIME = "stopped_time"
    STOPPED_HEAT = "stopped_heat"
    PREEMPTED = "preempted"
    SHIPPED = "shipped"
    DOES_NOT_FIT = "does_not_fit"
    INTEGRITY = "integrity"
    FAILED = "failed"

    @property
    def exit_code(self) -> Exit:
        return _EXIT_OF[self]

    @property
    def resumable(self) -> bool:
        return self in (Outcome.STOPPED_TIME, Outcome.STOPPED_HEAT, Outcome.PREEMPTED, Outcome.SHIPPED)


_EXIT_OF = {
    Outcome.PROMOTED: Exit.OK,
    Outcome.NOTHING_TO_DO: Exit.NOTHING_TO_DO,
    Outcome.REJECTED: Exit.REJECTED,
    Outcome.NO_EFFECT: Exit.NO_EFFECT,
    Outcome.STOPPED_TIME: Exit.STOPPED_TIME,
    Outcome.STOPPED_HEAT: Exit.STOPPED_HEAT,
    Outcome.PREEMPTED: Exit.PREEMPTED,
    Outcome.SHIPPED: Exit.SHIPPED,
    Outcome.DOES_NOT_FIT: Exit.DOES_NOT_FIT,
    Outcome.INTEGRITY: Exit.INTEGRITY,
    Outcome.FAILED: Exit.BUG,
}


class EdgeSleepError(Exception):
    """An error a person can act on: what was asked, what was found, what to do."""

    exit_code = Exit.BUG
    outcome = Outcome.FAILED

    def __init__(self, message: str, do: str = ""):
        super().__init__(message)
        self.message = message
        self.do = do

    def __str__(self) -> str:
        return f"{self.message}\n  do: {self.do}" if self.do else self.message


class UsageError(EdgeSleepError):
    exit_code = Exit.USAGE


class ConfigError(UsageError):
    """All problems of a configuration at once, each naming the key as it was typed."""

    def __init__(self, problems: list[str], source: str = "configuration"):
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} problem(s)\n{lines}",
                         "correct the keys above; `edge-sleep plan --help` lists the sections")
        self.problems = problems


class Busy(EdgeSleepError):
    exit_code = Exit.BUSY


class DoesNotFit(EdgeSleepError):
    exit_code = Exit.DOES_NOT_FIT
    outcome = Outcome.DOES_NOT_FIT


class StorageError(EdgeSleepError):
    exit_code = Exit.STORAGE


class DeviceError(EdgeSleepError):
    exit_code = Exit.DEVICE


class ModelError(EdgeSleepError):
    exit_code = Exit.MODEL


class IntegrityError(EdgeSleepError):
    exit_code = Exit.INTEGRITY
    outcome = Outcome.INTEGRITY


class SyncError(EdgeSleepError):
    exit_code = Exit.SYNC


class RemoteRefused(EdgeSleepError):
    exit_code = Exit.REMOTE_REFUSED


class Preempted(EdgeSleepError):
    exit_code = Exit.PREEMPTED
    outcome = Outcome.PREEMPTED


class TooHot(EdgeSleepError):
    exit_code = Exit.STOPPED_HEAT
    outcome = Outcome.STOPPED_HEAT
